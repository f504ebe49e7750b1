package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

func quiet(dir string) Options {
	return Options{Data: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", LowWater: 1 << 20}
}

func TestStartRefuses(t *testing.T) {
	t.Run("a second process on the same folder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		started(t, dir, "")
		_, err := Start(t.Context(), quiet(dir))
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v, want one that names the folder", err)
		}
	})
	t.Run("another main key", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		_, stop := started(t, dir, declared)
		stop()
		o := quiet(dir)
		o.MainKey = NewMainKey()
		if _, err := Start(t.Context(), o); !errors.Is(err, store.ErrMainKey) && (err == nil || !strings.Contains(err.Error(), "main key")) {
			t.Errorf("error %v, want one about the main key", err)
		}
	})
	t.Run("a store whose main key is gone", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		_, stop := started(t, dir, "")
		stop()
		if err := os.Remove(filepath.Join(dir, mainKeyFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), quiet(dir)); err == nil || !strings.Contains(err.Error(), "put main.key back") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an address in use, and gives everything back", func(t *testing.T) {
		t.Parallel()
		a, _ := started(t, t.TempDir(), "")
		dir := t.TempDir()
		o := quiet(dir)
		o.Admin = a.AdminAddr()
		if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--admin") {
			t.Errorf("error %v", err)
		}
		started(t, dir, "") // the folder is free again
	})
}

func TestMainKeyFileIsPrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	started(t, dir, "")
	info, err := os.Stat(filepath.Join(dir, mainKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestTokenOfTheFirstStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := Start(t.Context(), quiet(dir))
	if err != nil {
		t.Fatal(err)
	}
	first := a.Token()
	if len(first) < minToken {
		t.Error("no token was made")
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Run("is not made again", func(t *testing.T) {
		b, err := Start(t.Context(), quiet(dir))
		if err != nil {
			t.Fatal(err)
		}
		if b.Token() != "" {
			t.Error("a second token was made")
		}
		if status := b.status(t, first); status != http.StatusOK {
			t.Errorf("the first token was answered %d", status)
		}
		if status := b.status(t, "wp_another-token-of-some-length"); status != http.StatusUnauthorized {
			t.Errorf("a wrong token was answered %d", status)
		}
		_ = b.Stop(context.Background())
	})
	t.Run("a configured token is the only configured one", func(t *testing.T) {
		o := quiet(dir)
		for _, token := range []string{"configured-token-number-one", "configured-token-number-two"} {
			o.Token = token
			b, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if status := b.status(t, token); status != http.StatusOK {
				t.Errorf("%s was answered %d", token, status)
			}
			if token == "configured-token-number-two" && b.status(t, "configured-token-number-one") != http.StatusUnauthorized {
				t.Error("the token that is no longer configured still opens")
			}
			_ = b.Stop(context.Background())
		}
	})
	t.Run("is replaced while the server is stopped", func(t *testing.T) {
		token, err := CreateToken(t.Context(), quiet(dir), "new", "", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := Start(t.Context(), quiet(dir))
		if err != nil {
			t.Fatal(err)
		}
		if status := b.status(t, token); status != http.StatusOK {
			t.Errorf("the new token was answered %d", status)
		}
		_ = b.Stop(context.Background())
	})
}

func (a *App) status(t *testing.T, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.AdminAddr()+"/api/v1/app", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestAGapIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, stop := started(t, dir, declared)
	stop()
	beat(t, dir, time.Now().Add(-26*time.Hour))
	a, stop := started(t, dir, declared)
	var list struct {
		Data []struct {
			EventType string
			Payload   struct {
				Source   string
				From, To time.Time
			}
		}
	}
	a.get(t, "/api/v1/app/erp/msg", &list)
	if len(list.Data) != 1 || list.Data[0].EventType != "source.gap" || list.Data[0].Payload.To.Sub(list.Data[0].Payload.From) < 25*time.Hour {
		t.Errorf("messages: %+v", list.Data)
	}
	stop()
	b, _ := started(t, dir, declared)
	b.get(t, "/api/v1/app/erp/msg", &list)
	if len(list.Data) != 1 {
		t.Errorf("a short pause was told as a gap: %+v", list.Data)
	}
}

func TestAGapThatCannotBeStoredIsToldLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, stop := started(t, dir, declared)
	stop()
	beat(t, dir, time.Now().Add(-26*time.Hour))
	o := quiet(dir)
	o.LowWater = 1 << 60 // the disk is nearly full, so to speak
	a, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	b, _ := started(t, dir, declared)
	var list struct{ Data []struct{ EventType string } }
	b.get(t, "/api/v1/app/erp/msg", &list)
	if len(list.Data) != 1 || list.Data[0].EventType != "source.gap" {
		t.Errorf("messages: %+v", list.Data)
	}
}

func TestProfilesAreForTheOrganisationOnly(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "applications:\n- uid: shop\n  name: Shop\n")
	var portal struct{ Token string }
	a.post(t, "/auth/app-portal-access/shop", map[string]any{}, &portal)
	status := func(addr, path, token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, path := range []string{
		"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/pprof/trace?seconds=1",
	} {
		if got := status(a.AdminAddr(), path, ""); got != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, got)
		}
		if got := status(a.AdminAddr(), path, "not-"+testToken); got != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %d", path, got)
		}
		if got := status(a.AdminAddr(), path, portal.Token); got != http.StatusForbidden {
			t.Errorf("%s with an application's token: %d", path, got)
		}
		if got := status(a.PublicAddr(), path, testToken); got != http.StatusNotFound {
			t.Errorf("%s on the public address: %d", path, got)
		}
		a.get(t, path, nil)
	}
}

// beat makes the store's last sign of life an old one, as a server leaves it that was killed long ago.
func beat(t *testing.T, dir string, at time.Time) {
	t.Helper()
	o := quiet(dir).Defaults()
	db, _, err := openStore(t.Context(), o, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Beat(t.Context(), hook.ClockState{Wall: at}, true); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStopGivesEverythingBack(t *testing.T) {
	// Not parallel: it counts the goroutines of the process.
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	for range 3 {
		a, err := Start(t.Context(), quiet(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := a.Stop(context.Background()); err != nil {
			t.Errorf("a second stop: %v", err)
		}
		if _, err := net.Dial("tcp", a.PublicAddr()); err == nil {
			t.Error("still listens")
		}
	}
	http.DefaultClient.CloseIdleConnections()
	for end := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before+2 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1)
	c := &certificate{cert: cert, key: key, log: slog.New(slog.DiscardHandler)}
	serial := func() int64 {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d", got)
	}
	writePair(t, cert, key, 2)
	later := time.Now().Add(-time.Hour) // a restored file is older than the one that it replaces
	if err := errors.Join(os.Chtimes(cert, later, later), os.Chtimes(key, later, later)); err != nil {
		t.Fatal(err)
	}
	c.checked = time.Time{} // as if the time between two looks had passed
	if got := serial(); got != 2 {
		t.Errorf("after the renewal: serial %d", got)
	}
	if err := os.WriteFile(key, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	latest := later.Add(time.Minute)
	if err := os.Chtimes(key, latest, latest); err != nil {
		t.Fatal(err)
	}
	c.checked = time.Time{}
	if got := serial(); got != 2 {
		t.Errorf("with a broken key file: serial %d", got)
	}
}

func TestPublicListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := quiet(t.TempDir())
	o.TLSCert, o.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, o.TLSCert, o.TLSKey, 1)
	a, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop(context.Background()) }()
	roots := x509.NewCertPool()
	pem, _ := os.ReadFile(o.TLSCert)
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + a.PublicAddr() + "/in/no-such-door")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("answered %s", resp.Status)
	}
}

func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackupIsServedToTheOrganisationOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, _ := started(t, dir, declared)
	resp, err := http.Get("http://" + a.AdminAddr() + "/api/v1/backup")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s", resp.Status)
	}
	copied := a.get(t, "/api/v1/backup", nil)
	restored := t.TempDir()
	key, err := os.ReadFile(filepath.Join(dir, mainKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(restored, storeFile), []byte(copied), 0o600), os.WriteFile(filepath.Join(restored, mainKeyFile), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(copied, "first-secret") {
		t.Error("the copy holds a secret in the clear")
	}
	b, _ := started(t, restored, "")
	var source struct{ Door string }
	b.get(t, "/api/v1/app/erp/source/in", &source)
	if source.Door != "erp-panda-door" {
		t.Errorf("restored source: %+v", source)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "backup-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
