package wiring

import (
	"crypto/hkdf"
	"crypto/sha256"
	"net/http"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

// Groups of settings that features share.
const (
	groupApp       = "app"       // the IM app
	groupCallbacks = "callbacks" // how IM calls us
	groupCallers   = "callers"   // who may call our routes
	groupStorage   = "storage"   // store and queue
)

// Settings reads a feature's settings: the feature's own settings with the methods of
// the Reader, and settings that features share with the methods of this type.
type Settings struct {
	*config.Reader
	// Alone says that the program is the feature's own function. The settings
	// that switch the feature on are then required; elsewhere a feature without
	// them stays off.
	Alone bool
	// Forwarded says that the program passes the feature's callbacks to a
	// deployment of the feature's own function. Its rules are then opened without
	// the settings that switch them on: the program needs to know which callbacks
	// they want, and never runs them.
	Forwarded bool
	// Routed says that the program serves the feature's routes. In other programs a
	// feature that has job handlers but no callbacks needs only the settings of those
	// handlers.
	Routed bool

	client *im.Client // one a program: instances share IM's rate limits
}

// AppID reads SDK_APP_ID; 0 after a fault.
func (s *Settings) AppID() uint32 { return appID(s.Reader) }

func appID(set *config.Reader) uint32 {
	return set.Uint32(config.Setting{
		Group: groupApp, Name: "SDK_APP_ID", Meaning: "SDKAppID of the IM app", Format: "a number, such as 1400000000", Required: true,
	})
}

// Admin reads IM_ADMIN, the UserID of an account that may do everything in the app.
func (s *Settings) Admin() string {
	return s.Text(config.Setting{
		Group: groupApp, Name: "IM_ADMIN", Meaning: "UserID of the app's admin account", Format: "a UserID", Default: "administrator",
	})
}

func secret(set *config.Reader) string {
	return set.Text(config.Setting{
		Group: groupApp, Name: "SECRET", Meaning: "SecretKey of the IM app", Format: "text, as IM's console shows it",
		Required: true, Secret: true, Least: 16, Most: usersig.MaxKey,
	})
}

// Signer reads SDK_APP_ID and SECRET. It is nil after a fault.
func (s *Settings) Signer() *usersig.Signer { return signer(s.Reader) }

func signer(set *config.Reader) *usersig.Signer {
	id, key := appID(set), secret(set)
	if id == 0 || key == "" {
		return nil
	}
	made, err := usersig.NewSigner(id, key)
	if err != nil {
		set.Fault("SECRET", "is not an app's key")
	}
	return made
}

// Reserved reads the UserIDs of staff, which no end user may become, be banned as
// or be put into a team as: those of AGENT_USER_IDS, and the admin's.
func (s *Settings) Reserved() []string { return append(s.Agents(), s.Admin()) }

// Agents reads AGENT_USER_IDS.
func (s *Settings) Agents() []string {
	return s.List(config.Setting{
		Group: "credential", Name: "AGENT_USER_IDS", Meaning: "UserIDs of your staff, who get UserSigs by POST /agents/usersig alone; strikes and teams for them are refused", Format: "UserIDs separated by commas",
	})
}

// Derived returns a key of 32 bytes for one purpose of ours, derived from SECRET. The
// key changes when SECRET changes, and is not secret after a fault of a setting.
func (s *Settings) Derived(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret(s.Reader)), nil, "backchannel "+purpose, 32)
	if err != nil {
		panic(err) // 32 bytes are never too many
	}
	return key
}

// Origins reads ALLOWED_ORIGINS, the web pages whose scripts may call our routes.
func (s *Settings) Origins() []string {
	return s.List(config.Setting{
		Group:   groupCallers,
		Name:    "ALLOWED_ORIGINS",
		Meaning: "origins of the web pages that may call from a browser; none without this setting",
		Format:  "origins such as https://shop.example.com, separated by commas",
	})
}

// IM reads SDK_APP_ID, SECRET, IM_ADMIN, IM_DOMAIN and IM_SHARE and returns the
// program's one client of IM's REST API. It is nil after a fault.
func (s *Settings) IM() *im.Client {
	conf := im.Config{SDKAppID: s.AppID(), Key: secret(s.Reader), Admin: s.Admin()}
	conf.Domain = s.Text(config.Setting{
		Group: groupApp, Name: "IM_DOMAIN", Meaning: "REST host of the IM app's data centre",
		Format: "a host name, as adminapisgp.im.qcloud.com, or the full http:// URL of an emulator", Default: "console.tim.qq.com",
	})
	percent := s.Int(config.Setting{
		Group: groupApp, Name: "IM_SHARE", Meaning: "share of the app's REST rate limits that one instance may use, in percent: 100 divided by the number of running instances",
		Format: "a number", Default: "25",
	}, 1, 100)
	conf.Share = float64(percent) / 100
	if s.client != nil || conf.SDKAppID == 0 || conf.Key == "" || percent == 0 {
		return s.client
	}
	client, err := im.NewClient(conf)
	if err != nil {
		s.Fault("IM_DOMAIN", "or SDK_APP_ID, SECRET or IM_ADMIN is wrong: %v", err)
		return nil
	}
	s.client = client
	return client
}

// RoomSends reads ROOM_SENDS_PER_SECOND.
func (s *Settings) RoomSends() int {
	return s.Int(config.Setting{
		Name: "ROOM_SENDS_PER_SECOND", Meaning: "most messages a second that the backend itself sends to one room; its users share IM's 40 a second",
		Format: "a number", Default: "20",
	}, 1, 40)
}

// Transport returns a transport for calls to one server of the customer's, which
// keeps as many idle connections as calls go side by side.
func Transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	return t
}
