package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// The merchant of scripts/dev.
const (
	demoShop         = "demo-shop.myshopify.com"
	shopAgent        = "shop-agent" // who answers the shop's customers
	identityIssuer   = "https://shop.example.com"
	identityAudience = "backchannel"
	zendeskHost      = "dev.zendesk.com"
	zendeskApp       = "https://" + zendeskHost + "/api/v2/apps/installations/1.json"
	// tokenLife is how long the tokens of this merchant last.
	tokenLife = 10 * time.Minute
	// customerCookie holds the number of the customer who is logged in at the shop.
	customerCookie = "demo_customer"
)

// staff are the agents of both desks.
func staff() []string { return append([]string{shopAgent}, agents...) }

// shop plays the merchant's side of who is who: the app proxy that Shopify has
// before a shop, the merchant's own login, and the app that an agent opens in
// Zendesk.
type shop struct {
	bundle http.Handler
	app    *rsa.PrivateKey // of the app in Zendesk
}

func newShop() (*shop, error) {
	app, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return &shop{app: app}, nil
}

func (s *shop) settings() map[string]string {
	public, err := x509.MarshalPKIXPublicKey(s.app.Public())
	if err != nil {
		panic(err) // a key of our own marshals
	}
	return map[string]string{
		"SHOPIFY_SECRET": wiring.DevelopmentShopSecret, "SHOPIFY_SHOPS": demoShop,
		"IDENTITY_SECRET": wiring.DevelopmentIdentitySecret, "IDENTITY_ISSUER": identityIssuer, "IDENTITY_AUDIENCE": identityAudience,
		"ZENDESK_APP_AUDIENCE": zendeskApp, "ZENDESK_APP_KEY": base64.StdEncoding.EncodeToString(public),
		"AGENT_USER_IDS": strings.Join(staff(), ","),
	}
}

func (s *shop) routes(own func(pattern string, h http.Handler)) {
	own("POST /apps/im", api.HandlerFunc(s.proxy))
	own("POST /dev/identity/token", api.HandlerFunc(s.identity))
	own("POST /dev/agents/token", api.HandlerFunc(s.agent))
}

// proxy passes a request on as Shopify's app proxy does: cookies are taken off, and
// who is logged in is in the query that it signs.
func (s *shop) proxy(w http.ResponseWriter, r *http.Request) error {
	customer := ""
	if c, err := r.Cookie(customerCookie); err == nil {
		customer = c.Value
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the query cannot be read")
	}
	for name, value := range map[string]string{
		"shop": demoShop, "path_prefix": "/apps/im", "timestamp": strconv.FormatInt(time.Now().Unix(), 10), "logged_in_customer_id": customer,
	} {
		query.Add(name, value) // beside what the shopper has added, as Shopify does
	}
	query.Set("signature", credential.SignProxy(wiring.DevelopmentShopSecret, query))
	onward := r.Clone(r.Context())
	onward.URL, onward.Pattern = &url.URL{Path: "/shopify/usersig", RawQuery: query.Encode()}, ""
	onward.Header.Del("Cookie")
	s.bundle.ServeHTTP(w, onward)
	return nil
}

// identity is the merchant's login: a token for whoever is named.
func (s *shop) identity(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		UserID string `json:"userId"`
		Name   string `json:"name"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	return answerToken(w, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(wiring.DevelopmentIdentitySecret)}, map[string]any{
		"iss": identityIssuer, "aud": identityAudience, "sub": asked.UserID, "name": asked.Name,
	})
}

// agent is Zendesk, opening the app for an agent.
func (s *shop) agent(w http.ResponseWriter, r *http.Request) error {
	var asked struct {
		UserID string `json:"userId"`
	}
	if err := api.Decode(r, &asked); err != nil {
		return err
	}
	return answerToken(w, jose.SigningKey{Algorithm: jose.RS256, Key: s.app}, map[string]any{
		"iss": zendeskHost, "aud": zendeskApp, "sub": fmt.Sprintf("https://%s/api/v2/users/%s.json", zendeskHost, asked.UserID),
	})
}

func answerToken(w http.ResponseWriter, key jose.SigningKey, claims map[string]any) error {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return err
	}
	now := time.Now()
	claims["iat"], claims["exp"] = now.Unix(), now.Add(tokenLife).Unix()
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return err
	}
	api.Reply(w, http.StatusOK, map[string]string{"token": token})
	return nil
}
