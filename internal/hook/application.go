package hook

import "time"

// Application is a mailbox: messages in, endpoints out. A developer's app on a platform, or one of a team's services.
type Application struct {
	ID           ApplicationID
	UID          string // the user's own id, unique among applications; "" when there is none
	Name         string
	ThrottleRate int // messages a second over all endpoints; 0 = no limit
	// FeatureFlags are the permissions that its event types are measured by. nil = not restricted; an empty list = it gets
	// only types that need no flag.
	FeatureFlags   []string
	EnforceSchemas bool              // a message must fit its event type's schema
	Metadata       map[string]string // the user's, returned as given
	AllowCIDRs     []string          // private addresses that its endpoints may reach, as CIDR; organisation token or file only
	Managed        bool              // declared in the configuration file, overwritten at start
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// Profile is a dialect with the settings that several sources and endpoints share: the platform's key, a schedule.
type Profile struct {
	ID        ProfileID
	UID       string
	Name      string
	Dialect   string // never changes after creation
	Settings  Settings
	Managed   bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Source is a way into an application for one platform's pushes.
type Source struct {
	ID          SourceID
	App         ApplicationID
	UID         string // unique within the application
	Name        string
	Dialect     string    // the profile's, when there is one
	Profile     ProfileID // 0 = none
	Settings    Settings  // laid over the profile's
	Transport   Transport // how its pushes come: TransportHTTP or TransportLongConn
	Door        string    // the last part of its URL, /in/{door}; unique per server
	OldDoors    []OldDoor // earlier doors that still open
	VerifyUntil time.Time // until then a POST that is no envelope of the dialect is answered as the console's probe
	AllowFrom   []string  // CIDRs that may push; empty = any
	Disabled    bool      // refuses with 503, so that the platform repeats
	Managed     bool
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// OldDoor is a door that was rotated away and opens until a moment.
type OldDoor struct {
	Door  string
	Until time.Time
}

// Route is a source with all that the front door needs to know of it: the answer to a look-up by door.
type Route struct {
	Source   Source
	Settings Settings // profile and source merged
}

// Token is a bearer token of the API. Only its SHA-256 is stored.
type Token struct {
	ID   TokenID
	Hash [32]byte
	Name string
	App  ApplicationID // 0 = the organisation: everything
	// Capabilities are what an application's token may do beyond reading; nil = all that such a token can.
	Capabilities []Capability
	FeatureFlags []string // permissions beside those of its application; of a token made for the portal
	Session      string   // groups tokens that end together, "" = none
	Managed      bool     // given by configuration, replaced at each start
	CreatedAt    time.Time
	ExpiresAt    time.Time // zero = never
}

// Capability is something that an application's token may do. The texts are Svix's and are stored.
type Capability string

// The capabilities.
const (
	ViewBase              Capability = "ViewBase"              // read everything but secrets
	ViewEndpointSecret    Capability = "ViewEndpointSecret"    // read the secrets of endpoints
	ManageEndpointSecret  Capability = "ManageEndpointSecret"  // rotate them
	ManageTransformations Capability = "ManageTransformations" // accepted, grants nothing yet
	CreateAttempts        Capability = "CreateAttempts"        // resend, recover, replay, send examples
	ManageEndpoint        Capability = "ManageEndpoint"        // create, change and delete endpoints
)
