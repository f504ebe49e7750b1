package alipay

import (
	"net/url"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// The settings of a source that dials out.
const (
	fServer       = "longconn_server"
	fZone         = "longconn_zone"
	fConnections  = "longconn_connections"
	fTiming       = "longconn_timing"
	fBadSignature = "longconn_bad_signature"
)

const (
	timingPatient = "patient"
	timingJava    = "java"

	badSignatureFail   = "fail"
	badSignatureSilent = "silent"
)

// MaxDialing is how many connections one source may hold open.
const MaxDialing = 32

var dialFields = []dialect.Field{
	{
		Name: fServer, Kind: dialect.KindText, Shared: true, Receiving: dialect.Optional, Default: "https://" + ProductionHost,
		Help: dialect.Text{
			En: "Long connection: the platform's server, as a host or as https://host:port. The sandbox is " + SandboxHost + ". With http:// nothing is encrypted.",
			Zh: "长连接:平台服务器,填主机名或 https://主机:端口。沙箱为 " + SandboxHost + "。http:// 不加密。",
		},
	},
	{
		Name: fZone, Kind: dialect.KindText, Shared: true, Receiving: dialect.Optional,
		Help: dialect.Text{
			En: "Long connection: the zone that is sent where the registration names none.",
			Zh: "长连接:注册响应未给出 zone 时使用的 zone。",
		},
	},
	{
		Name: fConnections, Kind: dialect.KindNumber, Receiving: dialect.Optional, Default: "1",
		Help: dialect.Text{
			En: "Long connection: how many connections are held open, 1 to 32. It is not known how Alipay shares messages among several.",
			Zh: "长连接:保持的连接数,1 到 32。支付宝如何在多个连接间分配消息未公开。",
		},
	},
	{
		Name: fTiming, Kind: dialect.KindChoice, Choices: []string{timingPatient, timingJava}, Receiving: dialect.Optional, Default: timingPatient,
		Help: dialect.Text{
			En: "Long connection: when it pings and reconnects. patient: a ping every 20 s; a first try at once, then waits that grow to a minute. java: as the official Java client, a ping and a try every 2 s.",
			Zh: "长连接:心跳与重连的节奏。patient:每 20 秒心跳,断开后立即重连,之后等待逐渐增加到一分钟;java:与官方 Java 客户端一致,每 2 秒一次。",
		},
	},
	{
		Name: fBadSignature, Kind: dialect.KindChoice, Choices: []string{badSignatureFail, badSignatureSilent}, Receiving: dialect.Optional, Default: badSignatureFail,
		Help: dialect.Text{
			En: "Long connection: the answer to a message whose signature is wrong. fail: FAIL. silent: none. It is stored in neither case.",
			Zh: "长连接:验签失败的消息如何应答。fail:回复 FAIL;silent:不应答。两种情况都不会入库。",
		},
	},
}

// Dialing is what the settings of a source say of the connections that it opens.
type Dialing struct {
	Server      string // its address as a URL without a path, as https://openchannel.alipay.com
	Zone        string // sent where the registration names none, "" = no zone
	Connections int
	Java        bool // pings and reconnects when the Java client does
	Silent      bool // a message with a wrong signature is not answered, instead of with FAIL
}

// ReadDialing reads them, and says what is missing for a long connection. Its error is a dialect.Problem.
func ReadDialing(s dialect.Settings) (Dialing, error) {
	for _, need := range []struct{ field, why string }{
		{fAppID, "it registers as this application"},
		{fAppPrivateKey, "the registration is signed with it"},
		{fAlipayPublicKey, "the platform's messages are verified with it"},
	} {
		if s.Get(need.field) == "" {
			return Dialing{}, problem(need.field, "is needed for a long connection: %s", need.why)
		}
	}
	if err := checkDialing(s); err != nil {
		return Dialing{}, err
	}
	server, _ := serverURL(s.Get(fServer)) // checked
	return Dialing{
		Server: server, Zone: s.Get(fZone), Connections: s.Int(fConnections, 1),
		Java: s.Get(fTiming) == timingJava, Silent: s.Get(fBadSignature) == badSignatureSilent,
	}, nil
}

// checkDialing looks at the form of the settings that are there.
func checkDialing(s dialect.Settings) error {
	if _, ok := serverURL(s.Get(fServer)); !ok {
		return problem(fServer, "must be a host such as %s, or https://host:port without a path", ProductionHost)
	}
	if zone := s.Get(fZone); zone != "" && !token(zone) {
		return problem(fZone, "must be letters, digits, dots, dashes and underscores")
	}
	if n := s.Int(fConnections, 1); n < 1 || n > MaxDialing {
		return problem(fConnections, "must be 1 to %d", MaxDialing)
	}
	return nil
}

func serverURL(text string) (string, bool) {
	if text == "" {
		text = ProductionHost
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", false
	}
	return u.Scheme + "://" + u.Host, true
}
