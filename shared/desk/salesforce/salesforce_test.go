package salesforce_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/salesforce"
)

const version = "v67.0"

// open serves an org and returns it with the settings that fit. Its My Domain
// and its instance are two servers, so that a call to the wrong one shows.
func open(t *testing.T, org desktest.SalesforceConfig) (*desktest.Salesforce, salesforce.Config) {
	t.Helper()
	var fake *desktest.Salesforce
	server := func(path string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, path) {
				t.Errorf("%s was called at the wrong server", r.URL.Path)
			}
			fake.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	org.URL = server("/services/data/")
	org.APIVersion, org.ClientID, org.KeyField, org.GroupField = version, "consumer", salesforce.KeyField, salesforce.GroupField
	fake = desktest.NewSalesforce(org)
	return fake, salesforce.Config{URL: server("/services/oauth2/"), APIVersion: version, ClientID: "consumer", ClientSecret: org.ClientSecret, Now: org.Now}
}

func newDesk(t *testing.T, conf salesforce.Config) *salesforce.Desk {
	t.Helper()
	d, err := salesforce.New(conf)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestContract(t *testing.T) {
	desktest.Run(t, func(t *testing.T, now func() time.Time) desktest.Opened {
		fake, conf := open(t, desktest.SalesforceConfig{ClientSecret: "app-secret", Now: now})
		return desktest.Opened{Desk: newDesk(t, conf), Fake: fake}
	})
}

func TestJWTBearer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	fake, conf := open(t, desktest.SalesforceConfig{
		Username: "bot@example.com", Audience: "https://login.example.com", PublicKey: &key.PublicKey,
	})
	conf.Username, conf.Audience = "bot@example.com", "https://login.example.com"
	for _, block := range []pem.Block{
		{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)},
		{Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		conf.PrivateKey = string(pem.EncodeToMemory(&block))
		if _, err := newDesk(t, conf).Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"}); err != nil {
			t.Errorf("%s: %v", block.Type, err)
		}
	}
	conf.Username = "somebody@example.com"
	_, err = newDesk(t, conf).Create(t.Context(), desk.Ticket{Key: "im-2", Text: "hello"})
	if !errors.Is(err, desk.ErrAccess) || !strings.Contains(err.Error(), "invalid_grant") || strings.Contains(err.Error(), "somebody") {
		t.Errorf("%v, want no access and the desk's code", err)
	}
	if n := len(fake.Tickets()); n != 1 {
		t.Errorf("%d cases", n)
	}
}

// TestLimitOfTheDay: the calls of 24 hours are used up, which is no matter of
// permissions, and of no quick repeat either.
func TestLimitOfTheDay(t *testing.T) {
	fake, conf := open(t, desktest.SalesforceConfig{ClientSecret: "s"})
	fake.Fail("create", desktest.Fault{Status: 403, Body: `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`})
	_, err := newDesk(t, conf).Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"})
	if e, _ := errors.AsType[*desk.Error](err); !errors.Is(err, desk.ErrUnavailable) || e.RetryAfter != time.Hour {
		t.Errorf("%v, want %v for an hour", err, desk.ErrUnavailable)
	}
}

// TestErrorsThatPass: Salesforce answers these with status 400 or 403, as it
// answers what it never takes.
func TestErrorsThatPass(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		kind   error
		after  time.Duration
	}{
		"a row is locked":           {400, `[{"errorCode":"UNABLE_TO_LOCK_ROW","message":"unable to obtain exclusive access to this record"}]`, desk.ErrUnavailable, 5 * time.Second},
		"a query timed out":         {400, `[{"errorCode":"QUERY_TIMEOUT","message":"x"}]`, desk.ErrUnavailable, 5 * time.Second},
		"a trigger met a lock":      {400, `[{"errorCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY","message":"CaseTrigger: execution of AfterInsert caused by: System.DmlException: first error: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"}]`, desk.ErrUnavailable, 5 * time.Second},
		"a trigger failed":          {400, `[{"errorCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY","message":"CaseTrigger: System.NullPointerException"}]`, desk.ErrRefused, 0},
		"too many at once":          {403, `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded."}]`, desk.ErrUnavailable, 5 * time.Second},
		"a rule of the org objects": {400, `[{"errorCode":"FIELD_CUSTOM_VALIDATION_EXCEPTION","message":"x","fields":[]}]`, desk.ErrRefused, 0},
	} {
		t.Run(name, func(t *testing.T) {
			fake, conf := open(t, desktest.SalesforceConfig{ClientSecret: "s"})
			fake.Fail("create", desktest.Fault{Status: tt.status, Body: tt.body})
			_, err := newDesk(t, conf).Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"})
			if e, _ := errors.AsType[*desk.Error](err); !errors.Is(err, tt.kind) || e.RetryAfter != tt.after {
				t.Errorf("%v, want %v after %v", err, tt.kind, tt.after)
			}
		})
	}
}

// TestInstanceURLWithSlash: some orgs end the address of their token with one.
func TestInstanceURLWithSlash(t *testing.T) {
	_, conf := open(t, desktest.SalesforceConfig{ClientSecret: "s", EndInSlash: true})
	if _, err := newDesk(t, conf).Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"}); err != nil {
		t.Error(err)
	}
}

// TestUpsertAtOnce: two upserts of one moment, of which the second meets the
// field's uniqueness, are one case.
func TestUpsertAtOnce(t *testing.T) {
	fake, conf := open(t, desktest.SalesforceConfig{ClientSecret: "s"})
	fake.Fail("create", desktest.Fault{Worked: true, Status: 400, Body: `[{"errorCode":"DUPLICATE_VALUE","message":"duplicate value found"}]`})
	id, err := newDesk(t, conf).Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello"})
	if list := fake.Tickets(); err != nil || len(list) != 1 || list[0].ID != id {
		t.Errorf("%s, %v; %+v", id, err, list)
	}
}

// TestNotUnique: a key field that is not unique may match several cases.
func TestNotUnique(t *testing.T) {
	fake, conf := open(t, desktest.SalesforceConfig{ClientSecret: "s"})
	fake.Fail("find", desktest.Fault{Status: 300, Body: `["/a","/b"]`})
	if _, err := newDesk(t, conf).Find(t.Context(), "im-1"); !errors.Is(err, desk.ErrRefused) {
		t.Errorf("%v, want %v", err, desk.ErrRefused)
	}
}

func TestRefusedNamesTheField(t *testing.T) {
	_, conf := open(t, desktest.SalesforceConfig{ClientSecret: "s"})
	_, err := newDesk(t, conf).Create(t.Context(), desk.Ticket{Key: "im-1", Text: "hello", Email: "jane@nowhere"})
	if want := "salesforce: create: refused (status 400 INVALID_EMAIL_ADDRESS SuppliedEmail)"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestSettings(t *testing.T) {
	good := salesforce.Config{URL: "https://example.my.salesforce.com", APIVersion: version, ClientID: "consumer", ClientSecret: "s"}
	if _, err := salesforce.New(good); err != nil {
		t.Error(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	withKey := func(c *salesforce.Config, key string) {
		c.ClientSecret, c.Username, c.Audience, c.PrivateKey = "", "bot@example.com", "https://login.example.com", key
	}
	for name, spoil := range map[string]func(*salesforce.Config){
		"no URL":           func(c *salesforce.Config) { c.URL = "" },
		"no version":       func(c *salesforce.Config) { c.APIVersion = "" },
		"another version":  func(c *salesforce.Config) { c.APIVersion = "67.0" },
		"no consumer key":  func(c *salesforce.Config) { c.ClientID = "" },
		"no way to log in": func(c *salesforce.Config) { c.ClientSecret = "" },
		"no audience":      func(c *salesforce.Config) { withKey(c, "x"); c.Audience = "" },
		"no PEM":           func(c *salesforce.Config) { withKey(c, "MIIE-secret") },
		"no RSA key": func(c *salesforce.Config) {
			withKey(c, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		},
		"a field with slash": func(c *salesforce.Config) { c.KeyField = "../User/Id" },
	} {
		conf := good
		spoil(&conf)
		if _, err := salesforce.New(conf); err == nil || strings.Contains(err.Error(), "secret") && !strings.Contains(err.Error(), "consumer secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
