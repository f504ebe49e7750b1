package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/waypost/waypost/internal/proof"
)

// nginxConf keeps connections on both sides and logs nothing.
const nginxConf = `daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log error;
events { worker_connections 2048; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  keepalive_requests 100000000;
  upstream sink { server %[2]s; keepalive 512; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:%[3]d;
    location / { proxy_pass http://sink; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`

// startNginx starts nginx between load and sink. It returns nil where nginx is not installed.
func (b *Bench) startNginx(ctx context.Context) (*part, error) {
	path, err := exec.LookPath("nginx")
	if err != nil {
		b.say("nginx is not installed: it is left out")
		return nil, nil
	}
	sink, err := url.Parse(b.sink.url)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(b.folder, "nginx")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	conf := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(nginxConf, folder, sink.Host, port)
	if os.Getuid() == 0 {
		text = "user root;\n" + text // else its workers could not write below a folder of ours
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := proof.Start(path, []string{"-p", folder, "-c", conf, "-e", filepath.Join(folder, "error.log")})
	if err != nil {
		return nil, err
	}
	b.undo.push(func() error { return stop(p) })
	out := &part{p, fmt.Sprintf("http://127.0.0.1:%d", port)}
	return out, awaitHTTP(ctx, out)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// awaitHTTP waits until a process answers. When somebody took its port meanwhile, it ends, and its last words say so.
func awaitHTTP(ctx context.Context, p *part) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := call(ctx, http.MethodGet, p.url+"/seen", "", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-p.Ended():
			return errors.New("nginx did not start: " + p.Tail())
		case <-ctx.Done():
			return fmt.Errorf("nginx does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
