package yunzhimeng

import (
	"testing"

	"github.com/waypost/waypost/dialect"
)

const benchPayload = `{"waybillNo":"YD202601010001","waybillStatus":"ACCEPTED","driver":{"name":"张三","phone":"13800138000","idCardNum":"11010119900307123X"},"freightAmount":"6800.00"}`

func BenchmarkReceive(b *testing.B) {
	for name, k := range pairs(b) {
		clear := dialect.Set(setIVSPrivate, k.PrivateB64)
		sealing, opening := encrypting(k, k)
		for what, c := range map[string]struct{ sending, receiving dialect.Settings }{
			"clear":             {clear, dialect.Set(setIVSPublic, k.PublicB64)},
			"with two to open":  {sealing, opening},
			"two that stay so":  {sealing, dialect.Set(setIVSPublic, k.PublicB64)},
			"forged":            {clear, dialect.Set(setIVSPublic, k.PublicB64, setSignedText, "lines")},
			"by the second key": {clear, dialect.Set(setIVSPublic, k.PublicB64, setIVSPublic, k.PublicB64)},
		} {
			if what != "clear" && name != "prime256v1" {
				continue
			}
			b.Run(name+"/"+what, func(b *testing.B) {
				in := signed(b, c.sending, "ACCEPT_WAYBILL", benchPayload, vectorTime)
				receive := Dialect.ReceiveWith(c.receiving)
				b.ReportAllocs()
				b.SetBytes(int64(len(in.Body)))
				for b.Loop() {
					if _, err := receive(in); (err != nil) != (what == "forged") {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for name, k := range pairs(b) {
		clear := dialect.Set(setIVSPrivate, k.PrivateB64)
		sealing, _ := encrypting(k, k)
		for what, s := range map[string]dialect.Settings{"clear": clear, "with two to encrypt": sealing} {
			b.Run(name+"/"+what, func(b *testing.B) {
				out := dialect.Outbound{EventType: "ACCEPT_WAYBILL", Payload: []byte(benchPayload), Now: vectorTime}
				sign := Dialect.SignWith(s)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := sign(out); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
