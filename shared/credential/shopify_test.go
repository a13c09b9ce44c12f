package credential_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
)

const (
	shopSecret = "the secret of this test's Shopify app"
	shop       = "example.myshopify.com"
)

// TestSignProxy holds the signature to the vector of Shopify's documentation.
func TestSignProxy(t *testing.T) {
	query, err := url.ParseQuery("extra=1&extra=2&shop=shop-name.myshopify.com&logged_in_customer_id=1&path_prefix=%2Fapps%2Fawesome_reviews&timestamp=1317327555&signature=ignored")
	if err != nil {
		t.Fatal(err)
	}
	if got := credential.SignProxy("hush", query); got != "4c68c8624d737112c91818c11017d24d334b524cb5c2b8ba08daa056f7395ddb" {
		t.Errorf("signature %s", got)
	}
}

// proxied is a query as Shopify signs it for a customer; "" is a visitor.
func (b *bench) proxied(customer string) url.Values {
	q := url.Values{
		"shop": {shop}, "path_prefix": {"/apps/im"}, "timestamp": {strconv.FormatInt(b.now().Unix(), 10)}, "logged_in_customer_id": {customer},
	}
	q.Set("signature", credential.SignProxy(shopSecret, q))
	return q
}

// signed changes a query and signs it again, as only Shopify can.
func signed(q url.Values, change func(url.Values)) url.Values {
	change(q)
	q.Set("signature", credential.SignProxy(shopSecret, q))
	return q
}

func (b *bench) shopIssuer(t *testing.T, change ...func(*credential.Config)) http.Handler {
	t.Helper()
	c := credential.Config{
		Mode: credential.Server, Accounts: b.accounts(), Gate: &api.Gate{Bans: b.bans}, Guests: b.guests(), Agents: []string{"helpdesk"},
		Shopify: &credential.Shopify{Secrets: []string{shopSecret, "the one before, still good"}, Shops: []string{"Example.myshopify.com", "other.myshopify.com"}, Store: b.kv, Now: b.now},
	}
	for _, f := range change {
		f(&c)
	}
	i, err := credential.New(c)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	i.Routes(mux)
	return api.Routes(mux)
}

// shopAnswer is what a shopper is answered.
type shopAnswer struct {
	answer
	Guest      *bool
	GuestToken string
	Copied     *credential.Copied
}

func visit(h http.Handler, rawQuery, body string, header ...string) (a shopAnswer) {
	r := httptest.NewRequest(http.MethodPost, "/shopify/usersig?"+rawQuery, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "23.227.38.32:443"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	_ = json.Unmarshal(w.Body.Bytes(), &a)
	_ = json.Unmarshal(w.Body.Bytes(), &a.answer)
	a.status, a.header, a.text = w.Code, w.Header(), w.Body.String()
	return a
}

// TestCustomers of a shop are who Shopify says, whatever the body says.
func TestCustomers(t *testing.T) {
	b := newBench(t)
	h := b.shopIssuer(t)
	form := regexp.MustCompile(`^shp_[0-9a-f]{12}_4711$`)
	a := visit(h, b.proxied("4711").Encode(), `{"userID":"ann@example.com"}`)
	if a.status != 200 || !form.MatchString(a.UserID) || a.Guest == nil || *a.Guest || a.GuestToken != "" {
		t.Fatalf("%d %s", a.status, a.text)
	}
	if c, err := b.signer.Verify(a.UserID, a.UserSig); err != nil || !c.Expires.Equal(a.Expires) {
		t.Errorf("%+v, %v", c, err)
	}
	b.clock.Add(1)
	if again := visit(h, b.proxied("4711").Encode(), ""); again.UserID != a.UserID {
		t.Errorf("the same customer is %q and %q: %s", a.UserID, again.UserID, again.text)
	}
	seen := map[string]bool{a.UserID: true}
	for _, other := range []url.Values{
		b.proxied("4712"), b.proxied("9223372036854775807"), b.proxied("999999999999999"), b.proxied("1000000000000000"),
		signed(b.proxied("4711"), func(q url.Values) { q.Set("shop", "other.myshopify.com") }),
	} {
		got := visit(h, other.Encode(), "{}")
		if got.status != 200 || seen[got.UserID] || usersig.CheckUserID(got.UserID) != nil {
			t.Errorf("%v: %d %s", other, got.status, got.text)
		}
		seen[got.UserID] = true
	}
	for name, q := range map[string]url.Values{
		"signed with the secret before": func() url.Values {
			q := b.proxied("5")
			q.Set("signature", credential.SignProxy("the one before, still good", q))
			return q
		}(),
		"with pb":           signed(b.proxied("6"), func(q url.Values) { q.Set("pb", "0") }),
		"another prefix":    signed(b.proxied("7"), func(q url.Values) { q.Set("path_prefix", "/community/chat-2") }),
		"an old clock":      signed(b.proxied("8"), func(q url.Values) { q.Set("timestamp", strconv.FormatInt(b.now().Unix()-89, 10)) }),
		"a clock to be set": signed(b.proxied("9"), func(q url.Values) { q.Set("timestamp", strconv.FormatInt(b.now().Unix()+89, 10)) }),
	} {
		if a := visit(h, q.Encode(), "{}"); a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
}

// TestAttacksOnTheProxy: none of them gets a credential, all get the same answer,
// and the store is as before.
func TestAttacksOnTheProxy(t *testing.T) {
	b := newBench(t)
	h := b.shopIssuer(t)
	good := func() url.Values { return b.proxied("4711") }
	raw := func(change func(string) string) string { return change(good().Encode()) }
	used := good().Encode()
	if a := visit(h, used, "{}"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	before := b.dump(t)
	b.clock.Add(2)
	attacks := map[string]string{
		"nothing":                          "",
		"unsigned":                         raw(func(q string) string { return q[:strings.Index(q, "signature=")] }),
		"another customer":                 raw(func(q string) string { return strings.Replace(q, "=4711", "=4712", 1) }),
		"a guest made a customer":          strings.Replace(b.proxied("").Encode(), "logged_in_customer_id=", "logged_in_customer_id=4711", 1),
		"a parameter twice":                raw(func(q string) string { return q + "&logged_in_customer_id=4712" }),
		"a parameter twice, before":        raw(func(q string) string { return "logged_in_customer_id=4712&" + q }),
		"a parameter twice, in other case": raw(func(q string) string { return q + "&Logged_In_Customer_Id=4712" }),
		"a signed parameter twice":         signed(good(), func(q url.Values) { q.Add("logged_in_customer_id", "4712") }).Encode(),
		"a signature twice":                raw(func(q string) string { return q + "&signature=" + strings.Repeat("0", 64) }),
		"one more, signed":                 signed(good(), func(q url.Values) { q.Set("utm_source", "mail") }).Encode(),
		"an array, signed":                 signed(good(), func(q url.Values) { q.Set("shop[]", shop) }).Encode(),
		"one less, signed":                 signed(good(), func(q url.Values) { q.Del("path_prefix") }).Encode(),
		"no customer parameter, signed":    signed(good(), func(q url.Values) { q.Del("logged_in_customer_id") }).Encode(),
		"a foreign shop":                   signed(good(), func(q url.Values) { q.Set("shop", "foreign.myshopify.com") }).Encode(),
		"a shop's look-alike":              signed(good(), func(q url.Values) { q.Set("shop", "example.myshopify.com.evil.example") }).Encode(),
		"a stale one":                      signed(good(), func(q url.Values) { q.Set("timestamp", strconv.FormatInt(b.now().Unix()-91, 10)) }).Encode(),
		"one of the future":                signed(good(), func(q url.Values) { q.Set("timestamp", strconv.FormatInt(b.now().Unix()+91, 10)) }).Encode(),
		"a time of letters":                signed(good(), func(q url.Values) { q.Set("timestamp", "now") }).Encode(),
		"a customer of letters":            signed(good(), func(q url.Values) { q.Set("logged_in_customer_id", "administrator") }).Encode(),
		"a robot":                          signed(good(), func(q url.Values) { q.Set("logged_in_customer_id", "@RBT#001") }).Encode(),
		"a customer with a zero before":    signed(good(), func(q url.Values) { q.Set("logged_in_customer_id", "04711") }).Encode(),
		"a customer below zero":            signed(good(), func(q url.Values) { q.Set("logged_in_customer_id", "-4711") }).Encode(),
		"a customer too large":             signed(good(), func(q url.Values) { q.Set("logged_in_customer_id", "9223372036854775808") }).Encode(),
		"a replay":                         used,
		"a replay in another order":        strings.Join(reversed(strings.Split(used, "&")), "&"),
		"a replay, escaped":                strings.Replace(used, "4711", "%34711", 1),
		"another key":                      func() string { q := good(); q.Set("signature", credential.SignProxy("guess", q)); return q.Encode() }(),
		"an empty key":                     func() string { q := good(); q.Set("signature", credential.SignProxy("", q)); return q.Encode() }(),
		"a signature in capitals":          func() string { q := good(); q.Set("signature", strings.ToUpper(q.Get("signature"))); return q.Encode() }(),
		"the signature of OAuth":           strings.Replace(good().Encode(), "signature=", "hmac=", 1),
		"a query that cannot be read":      raw(func(q string) string { return q + "&%zz" }),
		"semicolons":                       raw(func(q string) string { return strings.ReplaceAll(q, "&", ";") }),
		"pb that holds another parameter":  signed(good(), func(q url.Values) { q.Set("pb", "0shop="+shop) }).Encode(),
		"a prefix that holds another":      signed(good(), func(q url.Values) { q.Set("path_prefix", "/apps/imshop=x") }).Encode(),
		"parameters that ran into one":     ambiguous(good()),
		"a customer with a line behind":    signed(good(), func(q url.Values) { q.Set("logged_in_customer_id", "4711\n") }).Encode(),
		"a shop with a NUL":                signed(good(), func(q url.Values) { q.Set("shop", shop+"\x00") }).Encode(),
	}
	texts := map[string]bool{}
	for name, query := range attacks {
		a := visit(h, query, `{"userID":"ann@example.com"}`)
		if a.status != 401 || a.UserSig != "" {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		texts[a.text] = true
	}
	if len(texts) != 1 {
		t.Errorf("the answers tell reasons apart: %v", texts)
	}
	if after := b.dump(t); after != before {
		t.Errorf("the store changed:\n%s", after)
	}
}

func reversed(list []string) []string {
	out := make([]string, 0, len(list))
	for i := range list {
		out = append(out, list[len(list)-1-i])
	}
	return out
}

// ambiguous moves the border between two parameters: the text that is signed stays
// the same.
func ambiguous(q url.Values) string {
	moved := url.Values{"logged_in_customer_id": {q.Get("logged_in_customer_id") + "path_prefix=" + q.Get("path_prefix")}}
	for _, name := range []string{"shop", "timestamp", "signature"} {
		moved[name] = q[name]
	}
	if credential.SignProxy(shopSecret, moved) != q.Get("signature") {
		panic("the attack is none: the signature differs")
	}
	return moved.Encode()
}

// TestVisitors get a random id, and the same again with their token alone.
func TestVisitors(t *testing.T) {
	b := newBench(t)
	h := b.shopIssuer(t)
	first := visit(h, b.proxied("").Encode(), `{"userID":"ann@example.com"}`)
	if first.status != 200 || !strings.HasPrefix(first.UserID, credential.GuestPrefix) || first.Guest == nil || !*first.Guest || first.GuestToken == "" {
		t.Fatalf("%d %s", first.status, first.text)
	}
	body := func(token string) string { return fmt.Sprintf(`{"guestToken":%q}`, token) }
	b.clock.Add(int64((29 * 24 * time.Hour).Seconds()))
	again := visit(h, b.proxied("").Encode(), body(first.GuestToken))
	if again.UserID != first.UserID || again.GuestToken == first.GuestToken {
		t.Errorf("%s is %s afterwards: %s", first.UserID, again.UserID, again.text)
	}
	b.clock.Add(int64((2 * 24 * time.Hour).Seconds()))
	if a := visit(h, b.proxied("").Encode(), body(again.GuestToken)); a.UserID != first.UserID {
		t.Errorf("the renewed token: %s", a.text)
	}
	payload, sum, _ := strings.Cut(again.GuestToken, ".")
	b.clock.Add(600)
	for name, token := range map[string]string{
		"an expired one":       first.GuestToken,
		"garbage":              "garbage",
		"another signature":    payload + "." + strings.Repeat("A", len(sum)),
		"without signature":    payload + ".",
		"another payload":      payload[:len(payload)-2] + "AA." + sum,
		"the id in its place":  first.UserID,
		"a very long one":      strings.Repeat("A", 5000),
		"a padded signature":   again.GuestToken + "=",
		"with something after": again.GuestToken + ".",
	} {
		b.clock.Add(600)
		a := visit(h, b.proxied("").Encode(), body(token))
		if a.status != 200 || a.UserID == first.UserID {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
}

// TestShopperBodies that will not do are refused, and nothing is kept of them.
func TestShopperBodies(t *testing.T) {
	b := newBench(t)
	h := b.shopIssuer(t)
	before := b.dump(t)
	for body, status := range map[string]int{
		`{"email":"no address"}`:                                   400,
		`{"email":"Ann <ann@example.com>"}`:                        400,
		`{"email":"ann@localhost"}`:                                400,
		`{"email":"ann@example.com\nBcc: all@example.com"}`:        400,
		`{"userID":"@RBT#001"}`:                                    400,
		`{"email":"` + strings.Repeat("a", 250) + `@example.com"}`: 400,
		`{"name":"` + strings.Repeat("n", 300) + `"}`:              400,
		`{"name":"evil\u202egnp.exe"}`:                             400,
		`{"as":"administrator"}`:                                   400,
		`{"token":"x"}`:                                            400,
		`{"guestToken":7}`:                                         400,
		`[]`:                                                       400,
		`{"email":"a@example.com","email":"b@example.com"}`:        400,
		`{"guestToken":"` + strings.Repeat("x", 65<<10) + `"}`:     413,
	} {
		if a := visit(h, b.proxied("").Encode(), body); a.status != status || a.UserSig != "" {
			t.Errorf("%.60s: %d %s, want %d", body, a.status, a.text, status)
		}
	}
	if a := visit(h, b.proxied("").Encode(), "email=ann@example.com", "Content-Type", "application/x-www-form-urlencoded"); a.status != 415 {
		t.Errorf("a form: %d %s", a.status, a.text)
	}
	if b.dump(t) != before {
		t.Error("the store changed")
	}
}

// TestAddresses: visitors count by the shopper's address, that a proxy which is
// trusted tells, and not by what a shopper writes before it.
func TestAddresses(t *testing.T) {
	b := newBench(t)
	h := b.shopIssuer(t)
	passed := func(n int, forwarded func(i int) string) (got int) {
		for i := range n {
			switch a := visit(h, b.proxied("").Encode(), "{}", "X-Forwarded-For", forwarded(i)); a.status {
			case 200:
				got++
			case 429:
			default:
				t.Fatalf("%d %s", a.status, a.text)
			}
		}
		return got
	}
	for name, forwarded := range map[string]func(i int) string{
		"one address":                        func(int) string { return "198.51.100.7" },
		"one address, lies before it":        func(i int) string { return fmt.Sprintf("10.0.0.%d, 198.51.100.8", i) },
		"one /64":                            func(i int) string { return fmt.Sprintf("2001:db8:1:2::%x", i+1) },
		"one /64, far apart":                 func(i int) string { return fmt.Sprintf("2001:db8:1:3:%x::1", i+1) },
		"the peer that the platform repeats": func(i int) string { return fmt.Sprintf("10.0.0.%d, 198.51.100.9, 23.227.38.32", i) },
		"garbage":                            func(i int) string { return fmt.Sprintf("10.0.0.%d, nobody", i) },
	} {
		if got := passed(30, forwarded); got != 5 {
			t.Errorf("%s: %d of 30 passed, want 5", name, got)
		}
	}
	if got := passed(30, func(i int) string { return fmt.Sprintf("192.0.2.%d", i+1) }); got != 30 {
		t.Errorf("30 addresses: %d passed", got)
	}
	if got := passed(8, func(i int) string { return fmt.Sprintf("2001:db8:2:%x::1", i+1) }); got != 8 {
		t.Errorf("8 networks: %d passed", got)
	}
}
