package alipay

import "github.com/waypost/waypost/dialect"

// The settings of certificate mode, which only the long connection needs: over HTTP no serial is sent.
const (
	fAppCert      = "app_cert"
	fRootCert     = "alipay_root_cert"
	fPlatformCert = "platform_cert"
)

var certificateFields = []dialect.Field{
	{
		Name: fAppCert, Kind: dialect.KindKey, Receiving: dialect.Optional,
		Help: dialect.Text{
			En: "Long connection in certificate mode: the content of appCertPublicKey.crt, which belongs to app_private_key. Not set = key mode. Set alipay_root_cert with it, and the platform's certificate as alipay_public_key.",
			Zh: "长连接证书模式:appCertPublicKey.crt 的内容,与 app_private_key 对应。不填为公钥模式。需同时填写 alipay_root_cert,并以支付宝公钥证书作为 alipay_public_key。",
		},
	},
	{
		Name: fRootCert, Kind: dialect.KindKey, Shared: true, Receiving: dialect.Optional,
		Help: dialect.Text{
			En: "Long connection in certificate mode: the content of alipayRootCert.crt.",
			Zh: "长连接证书模式:alipayRootCert.crt 的内容。",
		},
	},
	{
		Name: fPlatformCert, Kind: dialect.KindKey, Shared: true, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "Long connection: the sending platform's certificate, which belongs to the first platform_private_key. Only clients in certificate mode need it.",
			Zh: "长连接:发送方(平台)的证书,与第一个 platform_private_key 对应。仅证书模式的客户端需要。",
		},
	},
}

// AppCertSNs returns what a client in certificate mode sends: app_cert_sn and alipay_root_cert_sn. Both are "" in key
// mode. The error is a *dialect.Error.
func AppCertSNs(s dialect.Settings) (app, root string, err error) {
	cert, bundle := s.Get(fAppCert), s.Get(fRootCert)
	if cert == "" {
		return "", "", nil
	}
	if bundle == "" {
		return "", "", dialect.Refuse(dialect.ReasonSettings, "setting "+fRootCert, "is not set; certificate mode needs it beside %s", fAppCert)
	}
	if app, err = CertSN(cert); err != nil {
		return "", "", dialect.Refuse(dialect.ReasonSettings, "setting "+fAppCert, "%v", err)
	}
	if root, err = RootCertSN(bundle, s.Or(fSignType, RSA2)); err != nil {
		return "", "", dialect.Refuse(dialect.ReasonSettings, "setting "+fRootCert, "%v", err)
	}
	return app, root, nil
}

// checkCertificates holds the certificates against the keys that they are of.
func checkCertificates(s dialect.Settings) error {
	for _, pair := range [][2]string{{fAppCert, fAppPrivateKey}, {fPlatformCert, fPlatformKey}} {
		cert := s.Get(pair[0])
		if cert == "" {
			continue
		}
		if _, err := CertSN(cert); err != nil {
			return problem(pair[0], "%v", err)
		}
		public, err := ParsePublicKey(cert)
		if err != nil {
			return problem(pair[0], "%v", err)
		}
		if private, err := ParsePrivateKey(s.Get(pair[1])); err == nil && !public.Equal(private.Public()) {
			return problem(pair[0], "is not the certificate of %s", pair[1])
		}
	}
	if s.Get(fRootCert) != "" {
		if _, err := RootCertSN(s.Get(fRootCert), s.Or(fSignType, RSA2)); err != nil {
			return problem(fRootCert, "%v", err)
		}
	}
	if s.Get(fAppCert) != "" && s.Get(fRootCert) == "" {
		return problem(fRootCert, "is needed beside %s", fAppCert)
	}
	return nil
}
