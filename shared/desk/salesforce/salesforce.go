// Package salesforce is the adapter of [desk.Desk] for cases of Salesforce, and
// authenticates an org's calls of our routes.
//
// The Case needs two fields of its own: one for our key, an External ID that is
// Unique, and one for the group, both of type Text.
package salesforce

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk"
)

// GroupPrefix comes before the case's id in the GroupID of its group: nothing,
// as the guide has it.
const GroupPrefix = ""

// The fields of the Case, unless others are set.
const (
	KeyField   = "IM_Key__c"
	GroupField = "IM_Group__c"
)

// IDPrefix begins the id of every case.
const IDPrefix = "500"

// The other fields that integrations/salesforce installs: a requester's answer to the
// survey, on the Case, and our key of a file, on the ContentVersion, where the field
// is an External ID and Unique, too.
const (
	RatingField  = "IM_Rating__c"
	CommentField = "IM_Rating_Comment__c"
	FileKeyField = "IM_Key__c"
)

// Config makes a Desk. With a ClientSecret the Desk logs in by client credentials,
// otherwise with a JWT signed by PrivateKey, for Username.
type Config struct {
	URL          string // My Domain, such as https://example.my.salesforce.com
	APIVersion   string // such as v67.0
	ClientID     string // consumer key of an External Client App
	ClientSecret string

	Username   string
	PrivateKey string // RSA, PEM
	Audience   string // https://login.salesforce.com, or of a sandbox https://test.salesforce.com

	KeyField, GroupField string // "": those above

	// The statuses that an agent's page and a returning requester set.
	ClosedStatus string // "": Closed
	OpenStatus   string // "": Working

	Transport http.RoundTripper // nil: http.DefaultTransport
	Now       func() time.Time  // nil: time.Now
}

// Desk is an org of Salesforce. It implements [desk.Desk].
type Desk struct {
	conf   Config
	key    *rsa.PrivateKey // nil: client credentials
	client *desk.Client
}

var _ desk.Desk = (*Desk)(nil)

var (
	// Compiled when a desk is made, not at the start of every program: the second
	// costs hundreds of allocations.
	version = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^v\d{2,3}\.0$`) })
	field   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,79}$`) })
)

// New checks the settings and makes a Desk. It does not call Salesforce.
func New(conf Config) (*Desk, error) {
	if conf.KeyField == "" {
		conf.KeyField = KeyField
	}
	if conf.GroupField == "" {
		conf.GroupField = GroupField
	}
	conf.ClosedStatus, conf.OpenStatus = cmp.Or(conf.ClosedStatus, "Closed"), cmp.Or(conf.OpenStatus, "Working")
	if conf.Now == nil {
		conf.Now = time.Now
	}
	d := &Desk{conf: conf, client: &desk.Client{Name: "salesforce", Transport: conf.Transport, Now: conf.Now}}
	d.client.Login = d.login
	if err := desk.CheckBase(conf.URL); err != nil {
		return nil, fmt.Errorf("salesforce: %w", err)
	}
	switch {
	case !version().MatchString(conf.APIVersion):
		return nil, errors.New("salesforce: the API version is written as v67.0")
	case !field().MatchString(conf.KeyField), !field().MatchString(conf.GroupField):
		return nil, errors.New("salesforce: a field has letters, digits and _ only")
	case conf.ClientID == "":
		return nil, errors.New("salesforce: the consumer key is needed")
	case conf.ClientSecret != "":
		return d, nil
	case conf.Username == "" || conf.PrivateKey == "" || conf.Audience == "":
		return nil, errors.New("salesforce: either the consumer secret is needed, or user name, private key and audience")
	}
	var err error
	if d.key, err = parseKey(conf.PrivateKey); err != nil {
		return nil, err
	}
	return d, nil
}

// parseKey reads an RSA key in PEM, PKCS#8 or PKCS#1. Its error has none of it.
func parseKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("salesforce: the private key is not PEM, which starts with -----BEGIN")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if rsaKey, is := key.(*rsa.PrivateKey); err == nil && is {
		return rsaKey, nil
	}
	return nil, errors.New("salesforce: the private key is no RSA key that can be read without a password")
}

const (
	// tokenLife: the login does not say how long a token lives, since the org
	// decides. Our decision.
	tokenLife     = 15 * time.Minute
	assertionLife = 3 * time.Minute // the longest that is taken
)

// login gets a token, and with it where to call.
func (d *Desk) login(ctx context.Context) (desk.Token, error) {
	asked := d.conf.Now()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {d.conf.ClientID}, "client_secret": {d.conf.ClientSecret}}
	if d.key != nil {
		assertion, err := d.assertion(asked)
		if err != nil {
			return desk.Token{}, err
		}
		form = url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	}
	call := desk.Call{
		Op: "login", Method: http.MethodPost, URL: d.conf.URL + "/services/oauth2/token", Body: []byte(form.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	}
	a, err := d.client.Plain(ctx, call)
	if err != nil {
		return desk.Token{}, err
	}
	if a.Status != http.StatusOK {
		var e struct {
			Error string `json:"error"` // its description may hold the user's name
		}
		_ = json.Unmarshal(a.Body, &e)
		return desk.Token{}, d.client.Refusal(call, a, desk.Word(e.Error))
	}
	var out struct {
		AccessToken string `json:"access_token"`
		InstanceURL string `json:"instance_url"`
	}
	if json.Unmarshal(a.Body, &out) != nil || out.AccessToken == "" {
		return desk.Token{}, d.client.Unreadable(call)
	}
	out.InstanceURL = strings.TrimRight(out.InstanceURL, "/")
	if desk.CheckBase(out.InstanceURL) != nil {
		return desk.Token{}, d.client.Unreadable(call)
	}
	return desk.Token{Value: out.AccessToken, Base: out.InstanceURL, Until: asked.Add(tokenLife)}, nil
}

// assertion is the JWT of the bearer flow, signed with RS256.
func (d *Desk) assertion(now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": d.conf.ClientID, "sub": d.conf.Username, "aud": d.conf.Audience, "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("salesforce: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, d.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("salesforce: signing the assertion: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// do calls for a Case.
func (d *Desk) do(ctx context.Context, call desk.Call, in any) (desk.Answer, error) {
	call.URL = "Case/" + call.URL
	return d.doObject(ctx, call, in)
}

// doObject sends in as JSON, if it is not nil, and returns an answer of good status.
func (d *Desk) doObject(ctx context.Context, call desk.Call, in any) (desk.Answer, error) {
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return desk.Answer{}, fmt.Errorf("salesforce: %w", err)
		}
		call.Body = body
	}
	call.URL = "/services/data/" + d.conf.APIVersion + "/sobjects/" + call.URL
	a, err := d.client.Do(ctx, call)
	if err != nil || a.Status >= 200 && a.Status <= 204 {
		return a, err
	}
	problems := readProblems(a.Body)
	err = d.client.Refusal(call, a, problems.detail())
	if e, is := errors.AsType[*desk.Error](err); is {
		if pause, passes := problems.passing(); passes {
			e.Kind, e.RetryAfter = desk.ErrUnavailable, max(e.RetryAfter, pause)
		}
	}
	return a, err
}

// problems is how the API reports errors: a list.
type problems []problem

type problem struct {
	ErrorCode string   `json:"errorCode"`
	Message   string   `json:"message"` // may quote what was sent; passed on to nobody
	Fields    []string `json:"fields"`
}

// readProblems returns nil for the body of something else on the way.
func readProblems(body []byte) problems {
	var p problems
	if json.Unmarshal(body, &p) != nil {
		return nil
	}
	return p
}

func (p problems) has(code string) bool {
	return slices.ContainsFunc(p, func(e problem) bool { return e.ErrorCode == code })
}

// detail lists the error codes and the fields that they name.
func (p problems) detail() string {
	var parts []string
	for _, e := range p {
		parts = append(parts, desk.Word(e.ErrorCode))
		for _, f := range e.Fields {
			parts = append(parts, desk.Word(f))
		}
	}
	return strings.Join(parts, " ")
}

// Pauses before a retry.
const (
	// contention is for another transaction, or others of our calls, to end.
	contention = 5 * time.Second
	// dailyPool is for the calls of 24 hours, which come back little by little.
	dailyPool = time.Hour
)

// passing reports whether a retry of the same call may succeed, and the pause
// before it. Salesforce answers such errors with status 400 or 403 too.
func (p problems) passing() (pause time.Duration, passes bool) {
	for _, e := range p {
		switch e.ErrorCode {
		case "UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "API_TEMPORARILY_UNAVAILABLE":
			pause, passes = max(pause, contention), true
		case "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER":
			// A trigger or flow of the org failed; it names the cause in words.
			if strings.Contains(e.Message, "UNABLE_TO_LOCK_ROW") || strings.Contains(e.Message, "unable to obtain exclusive access") {
				pause, passes = max(pause, contention), true
			}
		case "REQUEST_LIMIT_EXCEEDED":
			passes = true
			if strings.Contains(e.Message, "Concurrent") {
				pause = max(pause, contention)
			} else {
				pause = max(pause, dailyPool)
			}
		}
	}
	return pause, passes
}

// caseByKey is where a case is found by our key.
func (d *Desk) caseByKey(key string) string { return d.conf.KeyField + "/" + url.PathEscape(key) }

// Create implements [desk.Desk]: an upsert by our key.
func (d *Desk) Create(ctx context.Context, t desk.Ticket) (string, error) {
	if t.Internal { // a closed case takes files
		return "", &desk.Error{Op: "salesforce: create", Kind: desk.ErrRefused, Detail: "internal"}
	}
	in := struct {
		Subject       string
		Description   string
		SuppliedName  string `json:",omitempty"`
		SuppliedEmail string `json:",omitempty"`
		Origin        string
	}{t.Subject, t.Text, t.Name, t.Email, "Chat"}
	call := desk.Call{Op: "create", Method: http.MethodPatch, URL: d.caseByKey(t.Key)}
	a, err := d.do(ctx, call, in)
	if err != nil && readProblems(a.Body).has("DUPLICATE_VALUE") {
		return d.Find(ctx, t.Key) // an upsert of the same moment was first
	}
	if err != nil {
		return "", err
	}
	if a.Status == http.StatusNoContent { // updated, which older API versions answer without a body
		return d.Find(ctx, t.Key)
	}
	var out struct{ ID string }
	if json.Unmarshal(a.Body, &out) != nil || desk.CheckID(out.ID) != nil {
		return "", d.client.Unreadable(call)
	}
	return out.ID, nil
}

// Find implements [desk.Desk].
func (d *Desk) Find(ctx context.Context, key string) (string, error) {
	call := desk.Call{Op: "find", Method: http.MethodGet, URL: d.caseByKey(key) + "?fields=Id"}
	a, err := d.do(ctx, call, nil)
	if err != nil {
		return "", err
	}
	var out struct{ ID string }
	if json.Unmarshal(a.Body, &out) != nil || desk.CheckID(out.ID) != nil {
		return "", d.client.Unreadable(call)
	}
	return out.ID, nil
}

// Link implements [desk.Desk].
func (d *Desk) Link(ctx context.Context, id, groupID string) error {
	if err := desk.CheckID(id); err != nil {
		return fmt.Errorf("salesforce: link: %w: %w", desk.ErrNotFound, err)
	}
	_, err := d.do(ctx, desk.Call{Op: "link", Method: http.MethodPatch, URL: id}, map[string]string{d.conf.GroupField: groupID})
	return err
}

// Update implements [desk.Desk].
func (d *Desk) Update(ctx context.Context, id string, u desk.Update) error {
	if err := desk.CheckID(id); err != nil {
		return fmt.Errorf("salesforce: update: %w: %w", desk.ErrNotFound, err)
	}
	in := make(map[string]string)
	if u.Assignee != "" {
		in["OwnerId"] = u.Assignee
	}
	switch u.Status {
	case desk.Solved:
		in["Status"] = d.conf.ClosedStatus
	case desk.Reopened:
		in["Status"] = d.conf.OpenStatus
	}
	_, err := d.do(ctx, desk.Call{Op: "update", Method: http.MethodPatch, URL: id}, in)
	return err
}

// AddFile implements [desk.Desk]: a file on the case, which the org's people see and
// its customers do not. The file's key is unique in the org, which deduplicates files.
func (d *Desk) AddFile(ctx context.Context, id string, f desk.File) (string, error) {
	if err := desk.CheckID(id); err != nil {
		return "", fmt.Errorf("salesforce: add a file: %w: %w", desk.ErrNotFound, err)
	}
	key := ""
	if f.Key != "" {
		key = id + "-" + f.Key
		known, err := d.findFile(ctx, key)
		if err == nil || !errors.Is(err, desk.ErrNotFound) {
			return known, err
		}
	}
	in := map[string]string{
		"Title": strings.TrimSuffix(f.Name, ".txt"), "PathOnClient": f.Name, "FirstPublishLocationId": id,
		"VersionData": base64.StdEncoding.EncodeToString([]byte(f.Text)),
	}
	if key != "" {
		in[FileKeyField] = key
	}
	call := desk.Call{Op: "add a file", Method: http.MethodPost, URL: "ContentVersion"}
	a, err := d.doObject(ctx, call, in)
	problems := readProblems(a.Body)
	if err != nil && key != "" && problems.has("DUPLICATE_VALUE") {
		return d.findFile(ctx, key) // another made it at the same moment
	}
	if e, is := errors.AsType[*desk.Error](err); is && (problems.has("ENTITY_IS_DELETED") || problems.has("INVALID_CROSS_REFERENCE_KEY")) {
		e.Kind = desk.ErrNotFound // the case
	}
	if err != nil {
		return "", err
	}
	var out struct{ ID string }
	if json.Unmarshal(a.Body, &out) != nil || desk.CheckID(out.ID) != nil {
		return "", d.client.Unreadable(call)
	}
	return out.ID, nil
}

func (d *Desk) findFile(ctx context.Context, key string) (string, error) {
	call := desk.Call{Op: "find a file", Method: http.MethodGet, URL: "ContentVersion/" + FileKeyField + "/" + url.PathEscape(key) + "?fields=Id"}
	a, err := d.doObject(ctx, call, nil)
	if err != nil {
		return "", err
	}
	var out struct{ ID string }
	if json.Unmarshal(a.Body, &out) != nil || desk.CheckID(out.ID) != nil {
		return "", d.client.Unreadable(call)
	}
	return out.ID, nil
}

// AddNote implements [desk.Desk]. A case has no internal comments with a key of ours,
// so a note is a file; a note whose Files exist needs no file of its own. A rating
// goes into its fields, beside the file.
func (d *Desk) AddNote(ctx context.Context, id string, n desk.Note) error {
	if n.Rating > 0 {
		if err := desk.CheckID(id); err != nil {
			return fmt.Errorf("salesforce: add a note: %w: %w", desk.ErrNotFound, err)
		}
		in := map[string]any{RatingField: n.Rating, CommentField: n.Comment}
		if _, err := d.do(ctx, desk.Call{Op: "add a note", Method: http.MethodPatch, URL: id}, in); err != nil {
			return err
		}
	}
	if len(n.Files) > 0 {
		return nil
	}
	name := cmp.Or(n.Key, "note") + ".txt"
	_, err := d.AddFile(ctx, id, desk.File{Key: n.Key, Name: name, Text: n.Text})
	return err
}
