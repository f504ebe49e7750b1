package alipay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

// frameCase is a frame of testdata/websocket.json.
type frameCase struct {
	ID         string `json:"id"`
	Opcode     string `json:"opcode"`
	Text       string `json:"text"`
	UTF8       string `json:"utf8_hex"`
	Direction  string `json:"direction"`
	SignedText string `json:"signed_text"`
	SignBy     string `json:"sign_by"`
	Sign       string `json:"sign"`
	Note       string `json:"note"`
	Expect     *struct {
		Signature bool `json:"signature"`
	} `json:"expect"`
}

// queryCase is a query or an answer of testdata/websocket.json.
type queryCase struct {
	ID         string      `json:"id"`
	Params     [][2]string `json:"params"`
	Canonical  string      `json:"canonical"`
	SignedText string      `json:"signed_text"`
	SignBy     string      `json:"sign_by"`
	Sign       string      `json:"sign"`
	URL        string      `json:"url"`
	Method     string      `json:"method"`
	HTTPBody   string      `json:"http_body"`
	SetCookie  string      `json:"set_cookie"`
	Note       string      `json:"note"`
	Expect     struct {
		LinkToken string `json:"link_token"`
		Zone      string `json:"zone"`
		Error     bool   `json:"error"`
	} `json:"expect"`
}

type streamIDCase struct {
	Millis   int64               `json:"millis"`
	Radix62  string              `json:"radix62_8"`
	Process  string              `json:"process_random_2"`
	Seq      uint64              `json:"seq"`
	Value    string              `json:"value"`
	Alphabet string              `json:"alphabet"`
	More     [][]json.RawMessage `json:"more"`
}

type longconnVectors struct {
	ProducedBy string       `json:"produced_by"`
	Note       string       `json:"note"`
	Register   []queryCase  `json:"register"`
	Upgrade    []queryCase  `json:"websocket_url"`
	Frames     []frameCase  `json:"frames"`
	StreamID   streamIDCase `json:"stream_id"`
}

func readLongconn(t testing.TB) longconnVectors {
	t.Helper()
	var v longconnVectors
	readTestdata(t, "websocket.json", &v)
	if len(v.Frames) != 19 || len(v.Register) != 6 || len(v.Upgrade) != 2 {
		t.Fatalf("there are %d frames, %d of register and %d of upgrade", len(v.Frames), len(v.Register), len(v.Upgrade))
	}
	return v
}

func (v longconnVectors) frame(t testing.TB, id string) []byte {
	t.Helper()
	for _, f := range v.Frames {
		if f.ID == id {
			return []byte(f.Text)
		}
	}
	t.Fatalf("there is no frame %s", id)
	return nil
}

const vectorApp = "2013121700999429"

// longconnSides are the settings of both ends of the vectors.
func longconnSides(t testing.TB, certificates bool) (platform, app dialect.Settings) {
	t.Helper()
	keys, certs := readKeys(t), readCertificates(t)
	platform = dialect.Set(fAppID, vectorApp, fPlatformKey, keys.Alipay.PrivatePKCS8, fAppPublicKey, keys.App.PublicSPKI)
	app = dialect.Set(fAppID, vectorApp, fAppPrivateKey, keys.App.PrivatePKCS8, fAlipayPublicKey, keys.Alipay.PublicSPKI)
	if certificates {
		platform = platform.With(fAppPublicKey, certs["app-cert"].PEM).With(fPlatformCert, certs["alipay-cert"].PEM)
		app = app.With(fAlipayPublicKey, certs["alipay-cert"].PEM).With(fAppCert, certs["app-cert"].PEM).With(fRootCert, certs["root-bundle"].PEM)
	}
	for use, s := range map[dialect.Use]dialect.Settings{dialect.Sending: platform, dialect.Receiving: app} {
		if problems := Dialect.Validate(s, use, false); len(problems) > 0 {
			t.Fatalf("the settings of the test: %v", problems)
		}
	}
	return platform, app
}

// Every frame of the vectors is read, written again byte for byte, and read by the Java client with the same result;
// its signature holds or not as the vector says, and signing again gives the same text.
func TestFramesOfTheVectors(t *testing.T) {
	t.Parallel()
	platform, app := longconnSides(t, false)
	for _, c := range readLongconn(t).Frames {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			f, err := ParseFrame([]byte(c.Text))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString([]byte(c.Text)); c.UTF8 != "" && got != c.UTF8 {
				t.Errorf("the text is not the vector's bytes")
			}
			if string(f.Data) != c.SignedText && c.SignedText != "" {
				t.Errorf("the data is %s", f.Data)
			}
			if again, err := f.Append(nil); err != nil || string(again) != c.Text {
				t.Errorf("written again it is %s (%v)", again, err)
			}
			if java, err := readFrameAsJava([]byte(c.Text)); err != nil || !sameFrame(java, f) {
				t.Errorf("the Java client reads %+v (%v)", java, err)
			}
			if f.Sign == "" {
				return
			}
			signer, checker := platform, app
			if f.Cmd == CmdProduce {
				signer, checker = app, platform
			}
			good := c.Expect == nil || c.Expect.Signature
			if _, err := VerifyFrame(checker, f); (err == nil) != good {
				t.Errorf("the signature: %v", err)
			}
			unsigned := f
			unsigned.Charset, unsigned.SignType, unsigned.Sign = "", "", ""
			if again, err := SignFrame(signer, unsigned); err != nil || sameFrame(again, f) != good {
				t.Errorf("signed again it is %+v (%v)", again, err)
			}
		})
	}
}

func sameFrame(a, b Frame) bool {
	x, y := a, b
	x.Data, y.Data = nil, nil
	return bytes.Equal(a.Data, b.Data) && x.FromSys == y.FromSys && x.FromSysIP == y.FromSysIP && x.StreamID == y.StreamID &&
		x.Cmd == y.Cmd && x.MsgID == y.MsgID && x.Timestamp == y.Timestamp && x.Version == y.Version && x.Status == y.Status &&
		x.Code == y.Code && x.Error == y.Error && x.Charset == y.Charset && x.SignType == y.SignType && x.Sign == y.Sign
}

// The frames are also made from their parts: what the makers and Data.Append give is what the vectors hold.
func TestFramesAreMadeFromTheirParts(t *testing.T) {
	t.Parallel()
	v := readLongconn(t)
	write := func(t *testing.T, f Frame, err error, want string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := f.Append([]byte("x")); err != nil || string(got) != "x"+string(v.frame(t, want)) {
			t.Errorf("got %s (%v)", got, err)
		}
	}
	for _, n := range []string{"1", "2", "3", "4", "5", "6"} {
		t.Run("consume-"+n, func(t *testing.T) {
			t.Parallel()
			platform, _ := longconnSides(t, false)
			old, err := ParseFrame(v.frame(t, "consume-"+n))
			if err != nil {
				t.Fatal(err)
			}
			d, err := ReadData(old.Data)
			if err != nil {
				t.Fatal(err)
			}
			d.Content = append([]byte(" \n"), d.Content...) // blanks around it are not sent
			data, err := d.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := SignFrame(platform, Consume(old.FromSys, old.FromSysIP, old.StreamID, old.MsgID, old.Time(), data))
			write(t, f, err, "consume-"+n)
			write(t, f.Ack(StatusSuccess, "unused"), nil, "consume-ack-"+n)
		})
	}
	for _, certificates := range []bool{false, true} {
		name := map[bool]string{false: "produce", true: "produce-cert"}[certificates]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			platform, app := longconnSides(t, certificates)
			d := Data{AppID: vectorApp, MsgAPI: "alipay.open.app.openbizmock.message.send", Content: []byte(`{"out_no":"1","memo":"测试"}`)}
			var err error
			if d.AppCertSN, d.RootCertSN, err = AppCertSNs(app); err != nil {
				t.Fatal(err)
			}
			data, err := d.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := SignFrame(app, Produce(v.StreamID.Value, time.UnixMilli(v.StreamID.Millis), data))
			write(t, f, err, name)
			if _, err := VerifyFrame(platform, f); err != nil {
				t.Error(err)
			}
			if back, err := ReadData(data); err != nil || back.AppCertSN != d.AppCertSN || back.RootCertSN != d.RootCertSN {
				t.Errorf("read again it is %+v (%v)", back, err)
			}
			write(t, f.ProduceFail("40002", "invalid sign"), nil, "produce-ack-fail")
			ack := f.ProduceAck("MSG0001")
			ack.FromSys = "openchannel"
			write(t, ack, nil, "produce-ack")
		})
	}
	t.Run("an acknowledgement without headers", func(t *testing.T) {
		t.Parallel()
		write(t, Frame{Cmd: CmdConsume, MsgID: "m3"}.Ack(StatusSuccess, ""), nil, "no-headers")
	})
}

func TestStreamIDsOfTheVectors(t *testing.T) {
	t.Parallel()
	v := readLongconn(t).StreamID
	at := time.UnixMilli(v.Millis)
	process := uint64(strings.IndexByte(v.Alphabet, v.Process[0])*62 + strings.IndexByte(v.Alphabet, v.Process[1]))
	if got := StreamID(at, process, v.Seq); got != v.Value || got[1:9] != v.Radix62 {
		t.Errorf("got %s, not %s", got, v.Value)
	}
	if a, b := StreamID(at, process, StreamCounts-1), StreamID(at, process, StreamCounts); a == b || b != StreamID(at, process, 0) {
		t.Errorf("the counter goes from %s to %s", a, b)
	}
	for _, m := range v.More {
		var n uint64
		var digits int
		var want string
		for i, into := range []any{&n, &digits, &want} {
			if err := json.Unmarshal(m[i], into); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(appendBase62(nil, n, digits)); got != want {
			t.Errorf("%d in %d digits is %s, not %s", n, digits, got, want)
		}
	}
}

// The queries are made as the vectors have them, and held by the server; both in key and certificate mode.
func TestQueriesOfTheVectors(t *testing.T) {
	t.Parallel()
	v := readLongconn(t)
	var nonce [16]byte
	if _, err := hex.Decode(nonce[:], []byte("0123456789abcdef0123456789abcdef")); err != nil {
		t.Fatal(err)
	}
	for _, c := range append(v.Register[:2:2], v.Upgrade...) {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			platform, app := longconnSides(t, strings.Contains(c.ID, "cert"))
			u, err := url.Parse(c.URL)
			if err != nil || c.Method != http.MethodGet || c.SignBy != "app" {
				t.Fatal(c.Method, c.SignBy, err)
			}
			q, err := ReadQuery(u.RawQuery)
			if err != nil {
				t.Fatal(err)
			}
			if string(q.signed) != c.Canonical || q.sign != c.Sign {
				t.Errorf("what is signed is %s", q.signed)
			}
			var made string
			verify := VerifyRegister
			if u.Path == RegisterPath {
				made, err = RegisterQuery(app, q.Time, nonce, "")
			} else {
				made, err = UpgradeQuery(app, "LT-abc123", q.Time, SDKVersion)
				verify = VerifyUpgrade
			}
			if err != nil || made != u.RawQuery {
				t.Errorf("made it is %s (%v)", made, err)
			}
			if err := verify(platform, q, q.Time.Add(time.Second)); err != nil {
				t.Error(err)
			}
			params, err := ParseForm([]byte(u.RawQuery))
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range c.Params {
				if params[i] != (Param{p[0], p[1]}) {
					t.Errorf("parameter %d is %v", i, params[i])
				}
			}
		})
	}
}

// The register answers are made as the vectors have them where they are the shape that we make, and all are read as the
// vector says, by the strict reader and by the Java client's.
func TestRegisterAnswersOfTheVectors(t *testing.T) {
	t.Parallel()
	for _, c := range readLongconn(t).Register[2:] {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			certificates := strings.Contains(c.ID, "cert")
			platform, app := longconnSides(t, certificates)
			own := ""
			if certificates {
				own = readCertificates(t)["alipay-cert"].SN
			}
			token, err := ReadRegisterAnswer(app, []byte(c.HTTPBody))
			java := readAnswerAsJava(mustPublic(t, readKeys(t).Alipay.PublicSPKI), RSA2, own, []byte(c.HTTPBody))
			if c.Expect.Error {
				var refused *RegisterRefused
				if !errors.As(err, &refused) || refused.SubCode != "isv.invalid-app-id" || !strings.Contains(err.Error(), fAppID) {
					t.Errorf("got %q (%v)", token, err)
				}
				if java.err == nil {
					t.Errorf("the Java client reads %q", java.token)
				}
				if made := RegisterRefusal("40004", "Business Failed", "isv.invalid-app-id", ""); string(made) != c.HTTPBody {
					t.Errorf("made it is %s", made)
				}
				return
			}
			if err != nil || token != c.Expect.LinkToken {
				t.Errorf("got %q (%v)", token, err)
			}
			if java.err != nil || java.token != c.Expect.LinkToken || java.signed != c.SignedText {
				t.Errorf("the Java client reads %+v", java)
			}
			if zone := ReadZone(http.Header{"set-cookie": {c.SetCookie}}); zone != c.Expect.Zone || SetZone(zone) != c.SetCookie {
				t.Errorf("the zone is %q", zone)
			}
			if c.ID == "register-ok-spaces" {
				return
			}
			q := Query{SignType: RSA2}
			if certificates {
				q.AppCertSN = "any"
			}
			if made, err := RegisterAnswer(platform, q, c.Expect.LinkToken); err != nil || string(made) != c.HTTPBody {
				t.Errorf("made it is %s (%v)", made, err)
			}
		})
	}
}
