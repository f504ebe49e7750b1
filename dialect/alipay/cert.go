package alipay

import (
	"crypto/md5"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// The signature algorithms that count for a root SN: all object identifiers under these.
const (
	rsaFamily = "1.2.840.113549.1.1."
	sm2Family = "1.2.156.10197.1.501"
)

// maxCertificates bounds a bundle; Alipay's has four.
const maxCertificates = 64

// CertSN returns the serial by which Alipay knows a certificate (app_cert_sn, alipay_cert_sn): the MD5, in hex, of the
// issuer's name as Java's X500Principal.getName prints it and the serial number in decimal. Of a file with several
// certificates the first counts, as in alipayCertPublicKey_RSA2.crt.
func CertSN(file string) (string, error) {
	ders, err := certificates(file)
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	cert, err := parseCertificate(ders[0])
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	return cert.sn()
}

// RootCertSN returns alipay_root_cert_sn of a root bundle: the serials, as CertSN makes them, of the certificates that
// are signed with an algorithm of the signature type's family, in the order of the file, joined by "_". Certificates
// of other families, such as the SM2 root beside the RSA ones, are passed over.
func RootCertSN(file, signType string) (string, error) {
	if !knownSignType(signType) {
		return "", errSignType
	}
	ders, err := certificates(file)
	if err != nil {
		return "", fmt.Errorf("root certificates: %w", err)
	}
	if len(ders) > maxCertificates {
		return "", fmt.Errorf("root certificates: there are more than %d", maxCertificates)
	}
	family := rsaFamily
	if signType == SM2 {
		family = sm2Family
	}
	var sns []string
	for i, der := range ders {
		cert, err := parseCertificate(der)
		if err != nil {
			return "", fmt.Errorf("root certificate %d: %w", i+1, err)
		}
		if !strings.HasPrefix(cert.algorithm, family) {
			continue
		}
		sn, err := cert.sn()
		if err != nil {
			return "", fmt.Errorf("root certificate %d: %w", i+1, err)
		}
		sns = append(sns, sn)
	}
	if len(sns) == 0 {
		return "", fmt.Errorf("root certificates: none is signed with an algorithm of %s", signType)
	}
	return strings.Join(sns, "_"), nil
}

// certificate is what is needed of one. crypto/x509 is not asked for it: that refuses the SM2 certificates of Alipay's
// bundle, and does not tell the issuer's name in the order in which it stands.
type certificate struct {
	serial    *big.Int
	issuer    []byte // DER
	algorithm string // of the signature, dotted
	publicKey []byte // SubjectPublicKeyInfo, DER
}

// parseCertificate reads the skeleton of a certificate. Neither its validity nor its chain is looked at: Alipay's own
// SDK does not either, it takes the file that the developer put there.
func parseCertificate(der []byte) (certificate, error) {
	type algorithm struct {
		ID     asn1.ObjectIdentifier
		Params asn1.RawValue `asn1:"optional"`
	}
	var c struct {
		Body struct {
			Version   int `asn1:"optional,explicit,default:0,tag:0"`
			Serial    *big.Int
			Algorithm algorithm
			Issuer    asn1.RawValue
			Validity  asn1.RawValue
			Subject   asn1.RawValue
			PublicKey asn1.RawValue
		}
		Algorithm algorithm
		Signature asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &c); err != nil || len(rest) > 0 {
		return certificate{}, errors.New("is not a certificate")
	}
	return certificate{
		serial: c.Body.Serial, issuer: c.Body.Issuer.FullBytes,
		algorithm: c.Algorithm.ID.String(), publicKey: c.Body.PublicKey.FullBytes,
	}, nil
}

func (c certificate) sn() (string, error) {
	name, err := javaName(c.issuer)
	if err != nil {
		return "", fmt.Errorf("the issuer's name: %w", err)
	}
	sum := md5.Sum([]byte(name + c.serial.String()))
	return hex.EncodeToString(sum[:]), nil
}
