package alipay

import "testing"

// What one message costs on its way: a signature is nearly all of it.
func BenchmarkFrames(b *testing.B) {
	platform, app := longconnSides(b, false)
	text := readLongconn(b).frame(b, "consume-5")
	f, err := ParseFrame(text)
	if err != nil {
		b.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"parse":   func() error { _, err := ParseFrame(text); return err },
		"append":  func() error { _, err := f.Append(nil); return err },
		"sign":    func() error { _, err := SignFrame(platform, f); return err },
		"verify":  func() error { _, err := VerifyFrame(app, f); return err },
		"receive": func() error { _, err := ReceiveFrame(app, f); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
