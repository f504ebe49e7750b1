package alipay

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
)

// libraries is what other people's libraries said of each body of the test data.
type libraries struct {
	ProducedBy string             `json:"produced_by"`
	Libraries  map[string]string  `json:"libraries"`
	GoVersion  string             `json:"go_version"`
	Results    map[string]verdict `json:"results"`
}

type verdict struct {
	Smartwalle     string          `json:"smartwalle"`
	Gopay          string          `json:"gopay"`
	Node           string          `json:"node_checkNotifySign"`
	NodeV2         string          `json:"node_checkNotifySignV2"`
	JDK            json.RawMessage `json:"jdk"`
	ParseFormError string          `json:"go_ParseForm_error"`
}

// rejects names the libraries that do not accept.
func (v verdict) rejects() []string {
	var out []string
	for name, said := range map[string]string{"smartwalle": v.Smartwalle, "gopay": v.Gopay, "node": v.Node, "nodeV2": v.NodeV2} {
		if said != "accept" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Whatever the sender makes by default, every library accepts; what some of them reject it makes only where the
// content or a setting asks for it, or never.
func TestOtherLibrariesAcceptWhatIsSent(t *testing.T) {
	t.Parallel()
	var libs libraries
	readTestdata(t, "lib_acceptance.json", &libs)
	messages := readMessages(t)
	private := readKeys(t).Alipay.PrivatePKCS8
	sent := []string{"seed-1", "seed-2", "seed-3", "seed-4", "seed-5", "seed-6", "pretty-json", "aes", "content-type-quirk"}
	byContent := []string{"specials", "literal-percent"}
	bySetting := map[string]string{"rsa-sha1": fSignType, "gbk": fCharset, "v2-signed-message": fRuleOverrides, "gateway-check": "the handshake"}

	for id, v := range libs.Results {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			rejects := v.rejects()
			switch {
			case slices.Contains(sent, id):
				if len(rejects) > 0 {
					t.Errorf("%v reject it", rejects)
				}
				if got := sendAgain(t, private, messages[id]); got != messages[id].Body {
					t.Errorf("it is not what is sent: %s", got)
				}
			case slices.Contains(byContent, id):
				// This one function decodes values a second time; posted content is not changed for it.
				if !slices.Equal(rejects, []string{"node"}) {
					t.Errorf("%v reject it, not the one function of the Node library alone", rejects)
				}
				if got := sendAgain(t, private, messages[id]); got != messages[id].Body {
					t.Errorf("it is not what is sent: %s", got)
				}
			case bySetting[id] != "":
				if len(rejects) == 0 {
					t.Error("nobody rejects it: it needs no setting")
				}
				if id != "gateway-check" && sendAgain(t, private, messages[id]) == messages[id].Body {
					t.Errorf("it is sent without %s", bySetting[id])
				}
			default:
				m, ok := messages[id]
				if ok && sendAgain(t, private, m) == m.Body {
					t.Error("it is sent")
				}
			}
		})
	}
	t.Run("every message of the test data was tried", func(t *testing.T) {
		t.Parallel()
		want := append(slices.Collect(maps.Keys(messages)), slices.Collect(maps.Keys(readDamaged(t)))...)
		got := slices.Collect(maps.Keys(libs.Results))
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// sendAgain sends a message of the test data with default settings, and every parameter of it in the platform map.
func sendAgain(t *testing.T, private string, m message) string {
	t.Helper()
	s := dialect.Set(fAppID, "2013121700999429", fPlatformKey, private)
	if m.AESKey != "" {
		s[fAESKey] = []string{m.AESKey}
	}
	o := dialect.Outbound{EventType: m.param(pMsgMethod), Payload: []byte(m.param(pBizContent)), Now: signedAt, Platform: map[string]string{}}
	if m.Plaintext != "" {
		o.Payload = []byte(m.Plaintext)
	}
	if o.EventType == "" {
		o.EventType = gatewayCheck
	}
	for _, p := range m.Params {
		o.Platform[p[0]] = p[1]
	}
	req, err := sign(s, o)
	if err != nil {
		t.Fatal(err)
	}
	params, err := ParseForm(req.Body) // refuses repeated names
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range params {
		if p.Value == "" {
			t.Errorf("the parameter %s is sent empty", p.Name)
		}
	}
	return string(req.Body)
}

// One library sorts "name=value" texts where the rule sorts names. Over the names that are sent both are the same.
func TestSentNamesSortTheSameWithTheirValues(t *testing.T) {
	t.Parallel()
	names := slices.Concat(bare, optional, []string{pBizContent})
	slices.Sort(names)
	names = slices.Compact(names)
	pairs := make([]string, len(names))
	for i, n := range names {
		pairs[i] = n + "="
	}
	if !slices.IsSorted(pairs) {
		t.Errorf("sorted by name they are %s", strings.Join(pairs, " "))
	}
}

// A JDK program is the third independent reading of the rules. It reads signatures without padding or with line ends;
// of repeated parameters it takes the last.
func TestRulesAgreeWithTheJDK(t *testing.T) {
	t.Parallel()
	var libs libraries
	readTestdata(t, "lib_acceptance.json", &libs)
	key := mustPublic(t, readKeys(t).Alipay.PublicSPKI)
	bodies := map[string]string{}
	for id, m := range readMessages(t) {
		bodies[id] = m.Body
	}
	for id, d := range readDamaged(t) {
		bodies[id] = d.Body
	}
	for id, v := range libs.Results {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			var want struct{ V1, V2 bool }
			if err := json.Unmarshal(v.JDK, &want); err != nil {
				t.Fatal(err)
			}
			params, err := parsePairs([]byte(bodies[id]))
			if err != nil {
				t.Fatal(err)
			}
			if id == "duplicate-param" {
				params = params[:len(params)-1] // the repeat has the same value
			}
			if v1, v2 := verifiesParams(t, key, V1, params), verifiesParams(t, key, V2, params); v1 != want.V1 || v2 != want.V2 {
				t.Errorf("V1 %v, V2 %v; the JDK says %v and %v", v1, v2, want.V1, want.V2)
			}
		})
	}
}
