package yunzhimeng

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha1"
	"crypto/sha256"
	"math/big"
	"testing"
)

func TestPointsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range curves {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := c.Params()
			good := c.marshal(p.Gx, p.Gy)
			if _, _, ok := c.point(good); !ok {
				t.Fatal("the generator is refused")
			}
			off := bytes.Clone(good)
			off[len(off)-1] ^= 1
			hybrid := bytes.Clone(good)
			hybrid[0] = 6
			wrapped := append([]byte{4}, c.bytes(p.Gx)...)
			if y := new(big.Int).Add(p.Gy, p.P); len(y.Bytes()) <= c.size { // the same point modulo p
				wrapped = append(wrapped, c.bytes(y)...)
			}
			for name, b := range map[string][]byte{
				"off the curve": off, "hybrid": hybrid, "too short": good[:len(good)-1], "too long": append(bytes.Clone(good), 0),
				"empty": nil, "infinity": {0}, "zero": append([]byte{4}, make([]byte, 2*c.size)...), "over the prime": wrapped,
				"all ones": append([]byte{4}, bytes.Repeat([]byte{0xff}, 2*c.size)...),
			} {
				if _, _, ok := c.point(b); ok {
					t.Errorf("%s: accepted as a point", name)
				}
				if x, _ := c.shared(c.bytes(big.NewInt(1)), b); x != nil {
					t.Errorf("%s: multiplied", name)
				}
			}
		})
	}
}

// On secp256k1 the point with x = 1 has a second spelling of 32 bytes, x = p+1, which the library would reduce.
func TestCoordinatesBeyondThePrimeAreRefused(t *testing.T) {
	t.Parallel()
	c := secp256k1Curve
	y := hexInt("4218f20ae6c646b363db68605822fb14264ca8d2587fdd6fbc750d587e76a7ee")
	if _, _, ok := c.point(c.marshal(big.NewInt(1), y)); !ok {
		t.Fatal("the point itself is refused")
	}
	if _, _, ok := c.point(c.marshal(new(big.Int).Add(c.Params().P, big.NewInt(1)), y)); ok {
		t.Error("its second spelling is accepted")
	}
}

func TestNumbersOutsideOfTheGroupAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range curves {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := c.scalar(bytes.Repeat([]byte{7}, c.size+16))
			point := c.public(d)
			sum := sha256.Sum256([]byte("text"))
			r, s, err := c.ecdsaSign(d, sum[:])
			if err != nil || !c.ecdsaVerify(point, sum[:], r, s) {
				t.Fatalf("a good signature does not verify: %v", err)
			}
			n, zero := c.order(), new(big.Int)
			for name, pair := range map[string][2]*big.Int{
				"r zero": {zero, s}, "s zero": {r, zero}, "both zero": {zero, zero}, "r the order": {n, s}, "s the order": {r, n},
				"r plus the order": {new(big.Int).Add(r, n), s}, "s plus the order": {r, new(big.Int).Add(s, n)},
				"r negative": {new(big.Int).Neg(r), s}, "s negative": {r, new(big.Int).Neg(s)}, "swapped": {s, r},
			} {
				if c.ecdsaVerify(point, sum[:], pair[0], pair[1]) {
					t.Errorf("%s: verifies", name)
				}
			}
		})
	}
}

// The generic form is the one that prime239v1 uses. On the other curves it must agree with the libraries, both ways.
func TestGenericECDSAAgreesWithTheLibraries(t *testing.T) {
	t.Parallel()
	for _, c := range []*curve{p256, secp256k1Curve} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			generic := *c
			generic.verify, generic.sign = nil, nil
			for i := range 20 {
				d := c.scalar(bytes.Repeat([]byte{byte(i + 1)}, c.size+16))
				point := c.public(d)
				long, short := sha256.Sum256(d), sha1.Sum(d)
				for _, sum := range [][]byte{long[:], short[:]} {
					r, s, err := generic.ecdsaSign(d, sum)
					if err != nil || !c.ecdsaVerify(point, sum, r, s) {
						t.Fatalf("the library refuses a generic signature: %v", err)
					}
					if r, s, err = c.ecdsaSign(d, sum); err != nil || !generic.ecdsaVerify(point, sum, r, s) {
						t.Fatalf("the generic form refuses a signature of the library: %v", err)
					}
					if s.Add(s, big.NewInt(1)); generic.ecdsaVerify(point, sum, r, s) {
						t.Fatal("the generic form accepts a changed signature")
					}
				}
			}
		})
	}
}

func TestScalarsAreInTheGroup(t *testing.T) {
	t.Parallel()
	for _, c := range curves {
		for _, random := range [][]byte{
			make([]byte, c.size+16), bytes.Repeat([]byte{0xff}, c.size+16),
			new(big.Int).Sub(c.order(), big.NewInt(1)).FillBytes(make([]byte, c.size+16)),
			new(big.Int).Sub(c.order(), big.NewInt(2)).FillBytes(make([]byte, c.size+16)),
		} {
			if d := c.scalar(random); len(d) != c.size || !c.inGroup(new(big.Int).SetBytes(d)) {
				t.Errorf("%s: %x becomes %x", c.name, random, d)
			}
		}
	}
}

func TestPrime239v1HasTheOrderThatItSays(t *testing.T) {
	t.Parallel()
	c := prime239v1
	last := new(big.Int).Sub(c.order(), big.NewInt(1))
	p := c.Params()
	minus := c.marshal(p.Gx, new(big.Int).Sub(p.P, p.Gy))
	if got := c.public(c.bytes(last)); !bytes.Equal(got, minus) {
		t.Errorf("(order-1)·G is %x, not -G", got)
	}
	if !p.P.ProbablyPrime(20) || !p.N.ProbablyPrime(20) || c.Curve.(*elliptic.CurveParams).BitSize != 8*c.size-1 {
		t.Error("a parameter is mistyped")
	}
}
