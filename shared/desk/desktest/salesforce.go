package desktest

import (
	"cmp"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// SalesforceConfig configures an org of the fake.
type SalesforceConfig struct {
	// URL is the base URL of the fake: its My Domain, and the instance_url of its
	// tokens.
	URL        string
	APIVersion string // as v67.0
	ClientID   string // consumer key

	ClientSecret string // of the client credentials flow; "": off

	// Of the JWT bearer flow.
	Username  string
	Audience  string
	PublicKey *rsa.PublicKey // nil: off

	// EndInSlash ends the instance_url with one, as some orgs do.
	EndInSlash bool

	// KeyField and GroupField are the Case's own fields.
	KeyField, GroupField string

	HMACKey string // of what the org sends
	// FirstCase is the number in the first case's id; 0 means 1.
	FirstCase int
	Now       func() time.Time
}

// Salesforce is a fake of the REST API's Case, of its logins, and of what a
// trigger sends us. Its cases have the statuses New and Closed.
type Salesforce struct {
	account
	conf  SalesforceConfig
	mux   *http.ServeMux
	files int // that were made
}

var _ Fake = (*Salesforce)(nil)

// NewSalesforce returns an org without cases.
func NewSalesforce(conf SalesforceConfig) *Salesforce {
	s := &Salesforce{account: newAccount(conf.Now), conf: conf, mux: http.NewServeMux()}
	cases := "/services/data/" + conf.APIVersion + "/sobjects/Case/"
	s.mux.HandleFunc("POST /services/oauth2/token", s.login)
	s.mux.HandleFunc("PATCH "+cases+conf.KeyField+"/{key}", s.admitted("create", s.upsert))
	s.mux.HandleFunc("GET "+cases+conf.KeyField+"/{key}", s.admitted("find", s.find))
	s.mux.HandleFunc("GET "+cases+"{id}", s.admitted("read", s.read))
	s.mux.HandleFunc("PATCH "+cases+"{id}", s.admitted("", s.update))
	files := "/services/data/" + conf.APIVersion + "/sobjects/ContentVersion"
	s.mux.HandleFunc("POST "+files, s.admitted("file", s.addFile))
	s.mux.HandleFunc("GET "+files+"/IM_Key__c/{key}", s.admitted("findfile", s.findFile))
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.serve(w, "other", "", func() answer { return fault(404, "NOT_FOUND", "The requested resource does not exist") })
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Salesforce) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// fault is an error of the REST API: a list.
func fault(status int, code, message string, fields ...string) answer {
	e := map[string]any{"errorCode": code, "message": message}
	if len(fields) > 0 {
		e["fields"] = fields
	}
	return answer{status: status, body: []any{e}}
}

// oauthFault is an error of the login: an object.
func oauthFault(code, description string) answer {
	return answer{status: 400, body: map[string]any{"error": code, "error_description": description}}
}

func (s *Salesforce) login(w http.ResponseWriter, r *http.Request) {
	form, err := url.ParseQuery(string(read(r)))
	s.serve(w, "login", "", func() answer {
		switch grant := form.Get("grant_type"); {
		case err != nil || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
			return oauthFault("invalid_request", "must use HTTP POST")
		case grant == "client_credentials":
			if s.conf.ClientSecret == "" {
				return oauthFault("invalid_grant", "no client credentials user enabled")
			}
			if form.Get("client_id") != s.conf.ClientID || form.Get("client_secret") != s.conf.ClientSecret {
				return oauthFault("invalid_client", "invalid client credentials")
			}
		case grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
			if err := s.checkAssertion(form.Get("assertion")); err != nil {
				return oauthFault("invalid_grant", err.Error())
			}
		default:
			return oauthFault("unsupported_grant_type", "grant type not supported")
		}
		token := "00D" + rand.Text()
		s.tokens[token] = true
		instance := s.conf.URL
		if s.conf.EndInSlash {
			instance += "/"
		}
		return answer{status: 200, body: map[string]any{
			"access_token": token, "instance_url": instance, "id": s.conf.URL + "/id/00Dxx/005xx", "token_type": "Bearer",
			"issued_at": strconv.FormatInt(s.now().UnixMilli(), 10), "signature": "c2ln",
		}}
	})
}

// checkAssertion checks a JWT of the bearer flow.
func (s *Salesforce) checkAssertion(jwt string) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || s.conf.PublicKey == nil {
		return fmt.Errorf("invalid assertion")
	}
	var header struct{ Alg string }
	var claims struct {
		Iss, Sub, Aud string
		Exp           int64
	}
	for i, v := range []any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, v) != nil {
			return fmt.Errorf("invalid assertion")
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return fmt.Errorf("invalid assertion")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	left := time.Unix(claims.Exp, 0).Sub(s.now())
	switch {
	case header.Alg != "RS256", rsa.VerifyPKCS1v15(s.conf.PublicKey, crypto.SHA256, digest[:], signature) != nil:
		return fmt.Errorf("invalid assertion")
	case claims.Iss != s.conf.ClientID, claims.Aud != s.conf.Audience:
		return fmt.Errorf("audience is invalid")
	case claims.Sub != s.conf.Username:
		return fmt.Errorf("user hasn't approved this consumer")
	case left <= 0, left > 3*time.Minute+time.Second:
		return fmt.Errorf("assertion expired or too long")
	}
	return nil
}

func (s *Salesforce) admitted(call string, f func(r *http.Request, body []byte) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, call := read(r), call
		if call == "" {
			call = caseCall(body)
		}
		subject := r.PathValue("key") + r.PathValue("id")
		if call == "file" {
			subject = fileKey(body)
		}
		s.serve(w, call, subject, func() answer {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !s.tokens[token] {
				return fault(401, "INVALID_SESSION_ID", "Session expired or invalid")
			}
			return f(r, body)
		})
	}
}

// caseCall names a change of a case by what is in it.
func caseCall(body []byte) string {
	switch {
	case strings.Contains(string(body), `"IM_Rating__c"`):
		return "note"
	case strings.Contains(string(body), `"Status"`), strings.Contains(string(body), `"OwnerId"`):
		return "update"
	}
	return "link"
}

// newVersion is a ContentVersion to be made.
type newVersion struct {
	Title, PathOnClient, VersionData, FirstPublishLocationId string //nolint:revive // Salesforce's names
	Key                                                      string `json:"IM_Key__c"`
}

func fileKey(body []byte) string {
	var in newVersion
	_ = json.Unmarshal(body, &in)
	return in.Key
}

func (s *Salesforce) addFile(_ *http.Request, body []byte) answer {
	var in newVersion
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return fault(400, "INVALID_FIELD", "No such column on sobject of type ContentVersion")
	}
	text, err := base64.StdEncoding.DecodeString(in.VersionData)
	if err != nil || in.PathOnClient == "" {
		return fault(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [PathOnClient, VersionData]", "PathOnClient")
	}
	t, _ := s.live(in.FirstPublishLocationId)
	if t == nil {
		return fault(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", "FirstPublishLocationId")
	}
	if _, known := s.fileOf(in.Key); known && in.Key != "" {
		return fault(400, "DUPLICATE_VALUE", "duplicate value found: IM_Key__c duplicates value on record with id: "+in.Key)
	}
	s.files++
	t.Notes = append(t.Notes, Note{Text: string(text), Files: []File{{in.PathOnClient, string(text)}}, key: in.Key})
	return answer{status: 201, body: map[string]any{"id": versionID(s.files), "success": true, "errors": []any{}}}
}

func versionID(n int) string { return fmt.Sprintf("068xx%010dAAC", n) }

func (s *Salesforce) fileOf(key string) (*Ticket, bool) {
	for _, t := range s.tickets {
		for _, n := range t.Notes {
			if n.key == key {
				return t, true
			}
		}
	}
	return nil, false
}

func (s *Salesforce) findFile(r *http.Request, _ []byte) answer {
	if _, known := s.fileOf(r.PathValue("key")); !known {
		return fault(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+r.PathValue("key"))
	}
	return answer{status: 200, body: map[string]any{"Id": versionID(1)}}
}

func (s *Salesforce) upsert(r *http.Request, body []byte) answer {
	known := s.withKey(r.PathValue("key"))
	if len(known) > 1 {
		return answer{status: 300, body: []string{"/a", "/b"}}
	}
	t := Ticket{Key: r.PathValue("key"), Status: "New"}
	if len(known) == 1 {
		t = *known[0]
	}
	if a := s.apply(&t, body); a != nil {
		return *a
	}
	if len(known) == 1 {
		*known[0] = t
		if s.conf.APIVersion < "v46.0" {
			return answer{status: 204}
		}
		return answer{status: 200, body: upserted(t.ID, false)}
	}
	// 15 characters of id and 3 that make up for lost case.
	t.ID = fmt.Sprintf("500xx%010dAAC", cmp.Or(s.conf.FirstCase, 1)+len(s.tickets))
	s.tickets = append(s.tickets, &t)
	return answer{status: 201, body: upserted(t.ID, true)}
}

func upserted(id string, created bool) map[string]any {
	return map[string]any{"id": id, "success": true, "errors": []any{}, "created": created}
}

// show is a case as the API has it.
func (s *Salesforce) show(t *Ticket) map[string]any {
	return map[string]any{
		"attributes": map[string]any{"type": "Case", "url": "/services/data/" + s.conf.APIVersion + "/sobjects/Case/" + t.ID},
		"Id":         t.ID, "Subject": t.Subject, "Description": t.Text, "SuppliedName": t.Name, "SuppliedEmail": t.Email, "Status": t.Status,
		"OwnerId": t.Assignee, "IsDeleted": t.Deleted, s.conf.KeyField: t.Key, s.conf.GroupField: t.Group,
	}
}

func (s *Salesforce) read(r *http.Request, _ []byte) answer {
	t, missing := s.live(r.PathValue("id"))
	if t == nil {
		return missing
	}
	return answer{status: 200, body: s.show(t)}
}

// live returns a case that is there, by its id of 18 or 15 characters, or the
// answer for one that is deleted or never was.
func (s *Salesforce) live(id string) (*Ticket, answer) {
	for _, t := range s.tickets {
		switch {
		case t.ID != id && t.ID[:15] != id:
		case t.Deleted:
			return nil, fault(404, "ENTITY_IS_DELETED", "entity is deleted")
		default:
			return t, answer{}
		}
	}
	return nil, fault(404, "NOT_FOUND", "The requested resource does not exist")
}

// apply changes a case's fields, or says what is wrong with them.
func (s *Salesforce) apply(t *Ticket, body []byte) *answer {
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		a := fault(400, "JSON_PARSER_ERROR", "unexpected character")
		return &a
	}
	for name, any := range in {
		value, _ := any.(string)
		switch name {
		case "Subject":
			t.Subject = value
		case "Description":
			t.Text = value
		case "SuppliedName":
			t.Name = value
		case "SuppliedEmail":
			if value != "" && !strings.Contains(value, ".") {
				a := fault(400, "INVALID_EMAIL_ADDRESS", "Web Email: invalid email address: "+value, "SuppliedEmail")
				return &a
			}
			t.Email = value
		case "Origin", "IM_Rating_Comment__c":
		case "Status":
			t.Status = value
		case "OwnerId":
			t.Assignee = value
		case "IM_Rating__c":
			number, _ := any.(float64)
			t.Rating = int(number)
		case s.conf.GroupField:
			t.Group = value
		default:
			a := fault(400, "INVALID_FIELD", "No such column '"+name+"' on sobject of type Case")
			return &a
		}
	}
	if t.Text == "" {
		a := fault(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Description]", "Description")
		return &a
	}
	return nil
}

func (s *Salesforce) find(r *http.Request, _ []byte) answer {
	switch known := s.withKey(r.PathValue("key")); len(known) {
	case 0:
		return fault(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+r.PathValue("key"))
	case 1:
		return answer{status: 200, body: s.show(known[0])}
	}
	return answer{status: 300, body: []string{"/a", "/b"}}
}

func (s *Salesforce) update(r *http.Request, body []byte) answer {
	t, missing := s.live(r.PathValue("id"))
	if t == nil {
		return missing
	}
	next := *t
	if a := s.apply(&next, body); a != nil {
		return *a
	}
	*t = next
	return answer{status: 204}
}

// Queue is the id of a queue that owns cases without an agent.
const Queue = "00Gxx0000000001AAA"

// Assign implements [Fake]: a case without agent is a queue's.
func (s *Salesforce) Assign(id, agent string) Delivery {
	_, after := s.change(id, func(t *Ticket) { t.Assignee = agent })
	if agent == "" {
		return s.changes(map[string]any{"op": "assigned", "caseId": after.ID, "userId": Queue})
	}
	return s.changes(map[string]any{"op": "assigned", "caseId": after.ID, "userId": agent})
}

// Solve implements [Fake]: a case is closed when it is solved.
func (s *Salesforce) Solve(id string) Delivery { return s.SetClosed(id, true) }

// SetClosed implements [Fake].
func (s *Salesforce) SetClosed(id string, closed bool) Delivery {
	op, status := "reopened", "New"
	if closed {
		op, status = "closed", "Closed"
	}
	s.change(id, func(t *Ticket) { t.Status = status })
	return s.changes(map[string]any{"op": op, "caseId": id})
}

// SetDeleted implements [Fake].
func (s *Salesforce) SetDeleted(id string, deleted bool) Delivery {
	op := "undeleted"
	if deleted {
		op = "deleted"
	}
	s.change(id, func(t *Ticket) { t.Deleted = deleted })
	return s.changes(map[string]any{"op": op, "caseId": id})
}

// changes is a trigger's one request, of changes that happened just now.
func (s *Salesforce) changes(list ...map[string]any) Delivery {
	for _, c := range list {
		c["at"] = s.now().UTC().Format(time.RFC3339Nano)
	}
	return s.Sign("/casechanges", marshal(map[string]any{"changes": list}))
}

// Sign signs any body for a route of ours, as Apex does with the HMAC key.
func (s *Salesforce) Sign(path string, body []byte) Delivery {
	timestamp := strconv.FormatInt(s.now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(s.conf.HMACKey))
	fmt.Fprintf(mac, "%s.%s", timestamp, body)
	return Delivery{Path: path, Body: body, Header: http.Header{
		"Content-Type":   {"application/json;charset=UTF-8"},
		"X-Im-Timestamp": {timestamp},
		"X-Im-Signature": {hex.EncodeToString(mac.Sum(nil))},
	}}
}
