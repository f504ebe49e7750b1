//lint:file-ignore SA1019 two of the four curves are in no maintained constant-time package; all points are checked to
// be on their curve before they get here, which is what the deprecation warns about.

package yunzhimeng

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1 "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/emmansun/gmsm/sm2"
)

// A curve is one on which a key of this dialect may lie. Every one of them has cofactor 1, so that a point on the curve
// is a point of the group, and primes of 30 or 32 bytes: nothing here may assume 32.
type curve struct {
	name string
	oid  []byte // content of the DER object identifier
	elliptic.Curve
	size int // bytes of a coordinate, and of r and s

	// verify and sign are plain ECDSA; nil means the generic form.
	verify func(point, digest []byte, r, s *big.Int) bool
	sign   func(d, digest []byte) (r, s *big.Int, err error)
}

var (
	p256 = &curve{
		name: "prime256v1", oid: []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
		Curve: elliptic.P256(), size: 32, verify: verifyP256, sign: signP256,
	}
	secp256k1Curve = &curve{
		name: "secp256k1", oid: []byte{0x2b, 0x81, 0x04, 0x00, 0x0a},
		Curve: secp256k1.S256(), size: 32, verify: verifyK1, sign: signK1,
	}
	// prime239v1 is what BouncyCastle's key generator yields when nobody chooses a curve. Its arithmetic is that of
	// elliptic.CurveParams, which is not constant time: who can measure many signatures may learn the key.
	prime239v1 = &curve{
		name: "prime239v1", oid: []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x04},
		Curve: &elliptic.CurveParams{
			Name: "prime239v1", BitSize: 239,
			P:  hexInt("7fffffffffffffffffffffff7fffffffffff8000000000007fffffffffff"),
			N:  hexInt("7fffffffffffffffffffffff7fffff9e5e9a9f5d9071fbd1522688909d0b"),
			B:  hexInt("6b016c3bdcf18941d0d654921475ca71a9db2fb27d1d37796185c2942c0a"),
			Gx: hexInt("0ffa963cdca8816ccc33b8642bedf905c3d358573d3f27fbbd3b3cb9aaaf"),
			Gy: hexInt("7debe8e4e90a5dae6e4054ca530ba04654b36818ce226b39fccb7b02f1ae"),
		},
		size: 30,
	}
	sm2p256v1 = &curve{
		name: "sm2p256v1", oid: []byte{0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d},
		Curve: sm2.P256(), size: 32,
	}
	curves = []*curve{p256, secp256k1Curve, prime239v1, sm2p256v1}
)

func hexInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("yunzhimeng: a curve constant is not hexadecimal") // only for a typing fault above
	}
	return n
}

func (c *curve) order() *big.Int { return c.Params().N }

// point reads an uncompressed point: 4, x, y. It refuses coordinates outside of the field and points off the curve.
func (c *curve) point(b []byte) (x, y *big.Int, ok bool) {
	if len(b) != 1+2*c.size || b[0] != 4 {
		return nil, nil, false
	}
	x, y = new(big.Int).SetBytes(b[1:1+c.size]), new(big.Int).SetBytes(b[1+c.size:])
	p := c.Params().P
	if x.Cmp(p) >= 0 || y.Cmp(p) >= 0 || !c.IsOnCurve(x, y) {
		return nil, nil, false
	}
	return x, y, true
}

// marshal writes a point uncompressed.
func (c *curve) marshal(x, y *big.Int) []byte {
	b := make([]byte, 1+2*c.size)
	b[0] = 4
	x.FillBytes(b[1 : 1+c.size])
	y.FillBytes(b[1+c.size:])
	return b
}

// bytes writes a number of the field or of the group in its full length.
func (c *curve) bytes(n *big.Int) []byte { return n.FillBytes(make([]byte, c.size)) }

// public returns the point of a private number, uncompressed.
func (c *curve) public(d []byte) []byte { return c.marshal(c.ScalarBaseMult(d)) }

// shared returns the coordinates, in full length, of a point multiplied by a private number; nil when the bytes are no
// point of the curve. The product is never infinity: the group has prime order.
func (c *curve) shared(d, point []byte) (x, y []byte) {
	px, py, ok := c.point(point)
	if !ok {
		return nil, nil
	}
	sx, sy := c.ScalarMult(px, py, d)
	return c.bytes(sx), c.bytes(sy)
}

// scalar maps random bytes, at least 16 more than the curve's size, to a number between 1 and order-1.
func (c *curve) scalar(random []byte) []byte {
	below := new(big.Int).Sub(c.order(), big.NewInt(1))
	k := new(big.Int).SetBytes(random)
	return c.bytes(k.Mod(k, below).Add(k, big.NewInt(1)))
}

// inGroup says whether n is a number between 1 and order-1.
func (c *curve) inGroup(n *big.Int) bool { return n.Sign() > 0 && n.Cmp(c.order()) < 0 }

// ecdsaVerify checks an ECDSA signature over a digest. r and s out of range are refused.
func (c *curve) ecdsaVerify(point, digest []byte, r, s *big.Int) bool {
	if !c.inGroup(r) || !c.inGroup(s) {
		return false
	}
	if c.verify != nil {
		return c.verify(point, digest, r, s)
	}
	qx, qy, ok := c.point(point)
	if !ok {
		return false
	}
	n := c.order()
	w := new(big.Int).ModInverse(s, n)
	u1 := new(big.Int).Mul(c.truncate(digest), w)
	u2 := new(big.Int).Mul(r, w)
	x1, y1 := c.ScalarBaseMult(c.bytes(u1.Mod(u1, n)))
	x2, y2 := c.ScalarMult(qx, qy, c.bytes(u2.Mod(u2, n)))
	x, y := c.Add(x1, y1, x2, y2)
	if x.Sign() == 0 && y.Sign() == 0 { // infinity
		return false
	}
	return new(big.Int).Mod(x, n).Cmp(r) == 0
}

// ecdsaSign makes an ECDSA signature with a nonce from crypto/rand.
func (c *curve) ecdsaSign(d, digest []byte) (r, s *big.Int, err error) {
	if c.sign != nil {
		return c.sign(d, digest)
	}
	n, random := c.order(), make([]byte, c.size+16)
	for {
		if _, err := rand.Read(random); err != nil {
			return nil, nil, err
		}
		k := c.scalar(random)
		x, _ := c.ScalarBaseMult(k)
		r = new(big.Int).Mod(x, n)
		s = new(big.Int).Mul(r, new(big.Int).SetBytes(d))
		s.Add(s, c.truncate(digest))
		s.Mul(s, new(big.Int).ModInverse(new(big.Int).SetBytes(k), n))
		if s.Mod(s, n); r.Sign() > 0 && s.Sign() > 0 {
			return r, s, nil
		}
	}
}

// truncate reads as many leading bits of a digest as the order has: on prime239v1 fewer than SHA-256 yields.
func (c *curve) truncate(digest []byte) *big.Int {
	e := new(big.Int).SetBytes(digest)
	if over := 8*len(digest) - c.order().BitLen(); over > 0 {
		e.Rsh(e, uint(over))
	}
	return e
}

func verifyP256(point, digest []byte, r, s *big.Int) bool {
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	return err == nil && ecdsa.Verify(pub, digest, r, s)
}

func signP256(d, digest []byte) (r, s *big.Int, err error) {
	priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return nil, nil, err
	}
	return ecdsa.Sign(rand.Reader, priv, digest)
}

func verifyK1(point, digest []byte, r, s *big.Int) bool {
	pub, err := secp256k1.ParsePubKey(point)
	if err != nil {
		return false
	}
	var rn, sn secp256k1.ModNScalar
	rn.SetByteSlice(r.Bytes())
	sn.SetByteSlice(s.Bytes())
	return k1.NewSignature(&rn, &sn).Verify(digest, pub)
}

// signK1 signs with the nonce of RFC 6979 and the smaller of the two possible s, as that library always does.
func signK1(d, digest []byte) (r, s *big.Int, err error) {
	sig := k1.Sign(secp256k1.PrivKeyFromBytes(d), digest)
	rn, sn := sig.R(), sig.S()
	rb, sb := rn.Bytes(), sn.Bytes()
	return new(big.Int).SetBytes(rb[:]), new(big.Int).SetBytes(sb[:]), nil
}

// sm2Public and sm2Private are keys as the SM2 library takes them.
func sm2Public(point []byte) *ecdsa.PublicKey {
	x, y, _ := sm2p256v1.point(point)
	return &ecdsa.PublicKey{Curve: sm2p256v1.Curve, X: x, Y: y}
}

func sm2Private(d []byte) *sm2.PrivateKey {
	priv := &sm2.PrivateKey{}
	priv.PublicKey = *sm2Public(sm2p256v1.public(d))
	priv.D = new(big.Int).SetBytes(d)
	return priv
}
