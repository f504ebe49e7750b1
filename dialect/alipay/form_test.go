package alipay

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestParseFormIsStrict(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"nothing": "", "a pair without an equals sign": "a=1&b", "a pair without a name": "a=1&=2", "an empty pair": "a=1&&b=2",
		"a name that occurs twice": "a=1&b=2&a=1", "a name that occurs twice in two spellings": "a=1&%61=2",
		"a percent sign alone": "a=%", "half an escape": "a=%4", "an escape of other digits": "a=%G0", "an escape in a name": "%zz=1",
		"too many pairs": strings.Repeat("a=1&", maxParams) + "b=1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if params, err := ParseForm([]byte(body)); err == nil {
				t.Errorf("is read as %q", params)
			}
		})
	}
	t.Run("values are divided at the first equals sign and decoded once", func(t *testing.T) {
		t.Parallel()
		got, err := ParseForm([]byte("b=x==&a=%2B+%2525&c=&%63%64=%b2%E2"))
		want := []Param{{"b", "x=="}, {"a", "+ %25"}, {"c", ""}, {"cd", "\xb2\xe2"}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	})
}

// The expected texts of the next two were printed by a JDK 17 program.
func TestEscapesAreJavas(t *testing.T) {
	t.Parallel()
	var ascii strings.Builder
	for c := range 128 {
		ascii.WriteByte(byte(c))
	}
	for _, c := range []struct{ charset, text, want string }{
		{charsetUTF8, ascii.String() + "é测😀", "%00%01%02%03%04%05%06%07%08%09%0A%0B%0C%0D%0E%0F%10%11%12%13%14%15%16%17%18%19%1A%1B%1C%1D%1E%1F+%21%22%23%24%25%26%27%28%29*%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60abcdefghijklmnopqrstuvwxyz%7B%7C%7D%7E%7F%C3%A9%E6%B5%8B%F0%9F%98%80"},
		{charsetGBK, "测试 a*~", "%B2%E2%CA%D4+a*%7E"},
	} {
		text, err := fromUTF8(c.charset, c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(EncodeForm([]Param{{"a", text}})); got != "a="+c.want {
			t.Errorf("in %s it is %s, not %s", c.charset, got, c.want)
		}
	}
}

func TestWireOrderIsThatOfAHashMap(t *testing.T) {
	t.Parallel()
	many := make([]string, 40)
	for i := range many {
		many[i] = "name" + strconv.Itoa(i*7919%1000)
	}
	for name, c := range map[string]struct{ inserted, iterated []string }{
		"a message":            {words("charset biz_content utc_timestamp sign app_id version sign_type notify_id msg_method"), words("charset biz_content utc_timestamp sign app_id version sign_type notify_id msg_method")},
		"a message, by name":   {words("app_id biz_content charset msg_method notify_id sign utc_timestamp version sign_type"), words("charset biz_content utc_timestamp sign app_id version sign_type msg_method notify_id")},
		"an encrypted message": {words("charset biz_content encrypt_type utc_timestamp sign app_id version sign_type notify_id msg_method"), words("charset biz_content encrypt_type utc_timestamp sign app_id version sign_type notify_id msg_method")},
		"eleven names":         {words("charset biz_content utc_timestamp sign app_id version sign_type notify_id msg_method msg_type msg_uid"), words("charset biz_content utc_timestamp sign msg_type app_id version sign_type notify_id msg_method msg_uid")},
		"thirteen names":       {words("charset biz_content utc_timestamp sign app_id version sign_type notify_id msg_method msg_type msg_app_id msg_uid msg_mshop_id"), words("charset biz_content utc_timestamp msg_app_id sign version notify_id msg_method msg_uid msg_mshop_id msg_type app_id sign_type")},
		"fifteen names":        {words("charset biz_content utc_timestamp sign app_id version sign_type notify_id msg_method msg_type msg_app_id msg_uid msg_mshop_id alipay_cert_sn encrypt_type"), words("charset biz_content utc_timestamp msg_app_id sign version notify_id msg_method msg_uid encrypt_type msg_mshop_id alipay_cert_sn msg_type app_id sign_type")},
		"the old protocol":     {words("charset biz_content sign app_id version sign_type notify_id notify_type notify_time auth_app_id status"), words("charset notify_type biz_content notify_time sign auth_app_id app_id version sign_type notify_id status")},
		"the gateway check":    {words("charset biz_content service sign_type sign"), words("charset biz_content service sign sign_type")},
		"names in Chinese":     {words("charset biz_content utc_timestamp sign app_id version sign_type notify_id msg_method Zeta ext 测试"), words("ext charset biz_content Zeta utc_timestamp 测试 sign app_id version sign_type notify_id msg_method")},
		"forty names":          {many, words("name570 name271 name595 name299 name651 name352 name676 name137 name732 name894 name433 name757 name218 name813 name975 name514 name838 name56 name919 name380 name461 name165 name489 name841 name542 name785 name246 name922 name109 name28 name623 name866 name327 name704 name947 name408 name3 name84 name0 name190")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var params []Param
			for _, n := range c.inserted {
				params = append(params, Param{Name: n})
			}
			WireOrder(params)
			var got []string
			for _, p := range params {
				got = append(got, p.Name)
			}
			if !slices.Equal(got, c.iterated) {
				t.Errorf("got  %v\nwant %v", got, c.iterated)
			}
		})
	}
}

func words(s string) []string { return strings.Fields(s) }

func FuzzForm(f *testing.F) {
	for _, m := range readMessages(f) {
		f.Add([]byte(m.Body))
	}
	f.Add([]byte("a=%2B+%2525&b=\xff&c="))
	f.Fuzz(func(t *testing.T, body []byte) {
		params, err := ParseForm(body)
		if err != nil {
			return
		}
		again, err := ParseForm(EncodeForm(params))
		if err != nil || !slices.Equal(again, params) {
			t.Fatalf("written and read again %q is %q (%v)", params, again, err)
		}
		values, err := url.ParseQuery(string(body)) // refuses semicolons, which are plain bytes here
		if err != nil {
			return
		}
		for _, p := range params {
			if len(values[p.Name]) != 1 || values[p.Name][0] != p.Value {
				t.Errorf("%q is %q here and %q for net/url", p.Name, p.Value, values[p.Name])
			}
		}
	})
}
