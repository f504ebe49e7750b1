package longconn_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The peers stand on the standard library alone, and use no word of ours.
func TestPeersKnowNothingOfOurs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"peer_wire_test.go", "peer_client_test.go", "peer_server_test.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}

// peerVectors is what the peers and our side are given as keys and certificates: made with openssl, for tests.
type peerVectors struct {
	platform, app, other struct{ private, public string }
	certs                map[string]struct{ pem, sn string }
}

const peerApp = "2013121700999429"

func readPeerVectors(t testing.TB) (v peerVectors) {
	t.Helper()
	read := func(name string, into any) {
		text, err := os.ReadFile(filepath.Join("..", "..", "dialect", "alipay", "testdata", name))
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	type pair struct {
		Private string `json:"private_pkcs8_pem"`
		Public  string `json:"public_spki_pem"`
	}
	var keys struct{ Alipay, App, Other pair }
	read("keys.json", &keys)
	v.platform.private, v.platform.public = keys.Alipay.Private, keys.Alipay.Public
	v.app.private, v.app.public = keys.App.Private, keys.App.Public
	v.other.private, v.other.public = keys.Other.Private, keys.Other.Public
	var certs struct {
		Cases []struct {
			ID     string `json:"id"`
			PEM    string `json:"pem"`
			SN     string `json:"sn"`
			RootSN string `json:"root_sn"`
		} `json:"cases"`
	}
	read("cert_sn.json", &certs)
	v.certs = map[string]struct{ pem, sn string }{}
	for _, c := range certs.Cases {
		v.certs[c.ID] = struct{ pem, sn string }{c.PEM, c.SN + c.RootSN}
	}
	return v
}

// freeAddress is an address that nobody listens on, for a process that binds it later and again after each kill. Its port
// lies below those that systems give to outgoing connections, of which one could have it by then.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(12_000))); err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// eventually waits for a condition, for longer than a busy machine can need.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(limit) {
			t.Fatalf("it never comes to it: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// goroutines counts those whose stack mentions this package's code, so that other tests do not matter.
func goroutines(mark string) int {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	n := 0
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, mark) {
			n++
		}
	}
	return n
}
