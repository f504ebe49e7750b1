package hook

import (
	"encoding"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// An ID is a 64-bit number that grows with time: 42 bits of milliseconds since Epoch, 10 bits of node, 12 bits of
// sequence. It is shown as a prefix and 13 characters of lower-case Crockford base 32, whose order is the order of
// the numbers. The type parameter keeps the id of one noun from being passed where another is meant.
type ID[K kind] int64

type kind interface{ prefix() string }

// The nouns that have ids.
type (
	appKind     struct{}
	profileKind struct{}
	sourceKind  struct{}
	messageKind struct{}
	endpKind    struct{}
	attemptKind struct{}
	tokenKind   struct{}
	taskKind    struct{}
	refusalKind struct{}
)

func (appKind) prefix() string     { return "app_" }
func (profileKind) prefix() string { return "prof_" }
func (sourceKind) prefix() string  { return "src_" }
func (messageKind) prefix() string { return "msg_" }
func (endpKind) prefix() string    { return "ep_" }
func (attemptKind) prefix() string { return "atmpt_" }
func (tokenKind) prefix() string   { return "tok_" }
func (taskKind) prefix() string    { return "qtask_" }
func (refusalKind) prefix() string { return "ref_" }

// The ids of the nouns. The zero value means "none".
type (
	ApplicationID = ID[appKind]
	ProfileID     = ID[profileKind]
	SourceID      = ID[sourceKind]
	MessageID     = ID[messageKind]
	EndpointID    = ID[endpKind]
	AttemptID     = ID[attemptKind]
	TokenID       = ID[tokenKind]
	TaskID        = ID[taskKind]
	RefusalID     = ID[refusalKind] // of a Refused
)

// Operational is the application that holds the operator's own endpoints: what happens to everybody's endpoints and
// messages is told there. It exists from the start, is in no list, and is reached by no reference.
const Operational ApplicationID = 1

// Epoch is the moment that id zero stands for. The numbers stay positive until 2093.
var Epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
	idChars   = 13
	nodeBits  = 10
	seqBits   = 12
)

var (
	_ fmt.Stringer             = MessageID(0)
	_ encoding.TextMarshaler   = MessageID(0)
	_ encoding.TextUnmarshaler = (*MessageID)(nil)
)

// String returns the id with its prefix, or "" for the zero id.
func (id ID[K]) String() string {
	if id == 0 {
		return ""
	}
	var k K
	var b [idChars]byte
	n := uint64(id)
	for i := idChars - 1; i >= 0; i-- {
		b[i] = crockford[n&31]
		n >>= 5
	}
	return k.prefix() + string(b[:])
}

// Time returns the moment that the id was made, to the millisecond.
func (id ID[K]) Time() time.Time {
	return Epoch.Add(time.Duration(int64(id)>>(nodeBits+seqBits)) * time.Millisecond)
}

// IDAt returns the smallest id of the given moment: the bound for time-ordered queries. A moment before Epoch has zero,
// one behind the last id the largest number.
func IDAt[K kind](t time.Time) ID[K] {
	const shift = nodeBits + seqBits
	ms := t.Sub(Epoch).Milliseconds()
	if ms > math.MaxInt64>>shift {
		return math.MaxInt64
	}
	return ID[K](max(ms, 0) << shift)
}

// MarshalText writes the id as String does.
func (id ID[K]) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote; the empty text is the zero id.
func (id *ID[K]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = 0
		return nil
	}
	v, err := ParseID[ID[K]](string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

type anyID interface {
	~int64
	String() string
	idPrefix() string
}

func (id ID[K]) idPrefix() string { var k K; return k.prefix() }

// ParseID reads an id with its prefix, as in ParseID[hook.MessageID]("msg_…").
// It fails with KindInvalid when the text is not exactly an id of that noun.
func ParseID[T anyID](s string) (T, error) {
	var zero T
	rest, ok := strings.CutPrefix(s, zero.idPrefix())
	if !ok || len(rest) != idChars {
		return zero, Errorf(KindInvalid, "%q is not an id of the form %s…", clip(s, 40), zero.idPrefix())
	}
	var n uint64
	for i := 0; i < len(rest); i++ {
		d := strings.IndexByte(crockford, rest[i])
		if d < 0 || (i == 0 && d > 7) {
			return zero, Errorf(KindInvalid, "%q is not an id of the form %s…", clip(s, 40), zero.idPrefix())
		}
		n = n<<5 | uint64(d)
	}
	if n == 0 {
		return zero, Errorf(KindInvalid, "%q is not an id", clip(s, 40))
	}
	return T(n), nil
}

// LooksLikeID says whether a text parses as one of our ids; such a text must not be used as a uid.
func LooksLikeID(s string) bool {
	for _, p := range []string{"app_", "prof_", "src_", "msg_", "ep_", "atmpt_", "tok_", "qtask_"} {
		if rest, ok := strings.CutPrefix(s, p); ok && len(rest) == idChars && strings.Trim(rest, crockford) == "" {
			return true
		}
	}
	return false
}

// A Generator makes ids that never go back, whatever the clock does. The zero value is not usable: see NewGenerator.
type Generator struct {
	mu    sync.Mutex
	node  int64
	last  int64 // milliseconds since Epoch << seqBits | sequence
	limit func() time.Time
}

// NewGenerator returns a generator for a node (0 to 1023) that starts above the highest id issued so far.
func NewGenerator(node int, highest int64) *Generator {
	g := &Generator{node: int64(node) & (1<<nodeBits - 1)}
	ms := highest >> (nodeBits + seqBits)
	g.last = ms<<seqBits | (1<<seqBits - 1)
	return g
}

// Limit has ids carry no later time than limit returns. It is called before the first Next.
func (g *Generator) Limit(limit func() time.Time) { g.limit = limit }

// Last is the time in the last id, of this generator or before it. It may be ahead of the clock.
func (g *Generator) Last() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Epoch.Add(time.Duration(g.last>>seqBits) * time.Millisecond)
}

// Next returns the next number: max(now, last issued), one step on. A clock behind the last possible id says nothing.
func (g *Generator) Next(now time.Time) int64 {
	if g.limit != nil {
		if limit := g.limit(); limit.Before(now) {
			now = limit
		}
	}
	ms := now.Sub(Epoch).Milliseconds()
	if ms < 0 || ms > math.MaxInt64>>(nodeBits+seqBits) {
		ms = 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	// Sequence overflow carries into the milliseconds: ids then run ahead of the clock for a moment.
	g.last = max(ms<<seqBits, g.last+1)
	ms, seq := g.last>>seqBits, g.last&(1<<seqBits-1)
	return ms<<(nodeBits+seqBits) | g.node<<seqBits | seq
}

// NewID is Next for one noun, as in NewID[hook.MessageID](g, now).
func NewID[T anyID](g *Generator, now time.Time) T { return T(g.Next(now)) }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
