// Package credential wires the issuing of UserSigs.
package credential

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/credential"
	"github.com/backchannel-im/backchannel/shared/credential/identity"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is the issuing of UserSigs.
var Feature = wiring.Feature{
	Name: "credential", Function: "usersig-issuer",
	Store: wiring.Required, Jobs: true, Callers: wiring.Servers,
	Read: read,
}

// Accounts reads which UserIDs get UserSigs, and the lifetime of a UserSig.
func Accounts(s *wiring.Settings) credential.Accounts {
	a := credential.Accounts{Signer: s.Signer()}
	a.Reserved = s.Reserved()
	a.Expire = s.Duration(config.Setting{
		Group: group, Name: "USERSIG_EXPIRE", Meaning: "lifetime of a user's UserSig", Format: "a duration, such as 24h", Default: "24h",
	}, time.Minute, 180*24*time.Hour)
	return a
}

const group = "credential"

func read(s *wiring.Settings) wiring.Open {
	client := s.IM()
	if !s.Routed {
		return func(_ context.Context, h *wiring.House) error {
			if h.Jobs != nil {
				credential.NewCopies(credential.CopiesConfig{Store: h.Store, IM: client, Jobs: h.Jobs})
			}
			return nil
		}
	}
	c := credential.Config{Mode: s.Mode(), Accounts: Accounts(s), Origins: s.Origins(), Agents: s.Agents()}
	c.Guests = readGuests(s)
	c.Shopify = readShopify(s)
	c.Identity = Identity(s)
	c.Desk = readDesk(s)
	profiles := &credential.Profiles{IM: client, EmailTag: s.Text(config.Setting{
		Name: "GUEST_EMAIL_FIELD", Meaning: "field of a guest's IM profile that holds the e-mail address the guest typed; with the value none it is written nowhere",
		Format: "Tag_Profile_IM_SelfSignature, or Tag_Profile_Custom_NAME of the console", Default: im.TagSelfSignature,
	})}
	if profiles.EmailTag == "none" {
		profiles.EmailTag = ""
	}
	if c.Mode == credential.Open && s.Err() == nil {
		slog.Warn("USERSIG_MODE=open: anybody can become anybody; for prototypes only")
	}
	return func(_ context.Context, h *wiring.House) error {
		c.Gate = h.Gate
		c.Guests.Store, c.Guests.PerAddress.Store, c.Guests.Budget.Store, profiles.Store = h.Store, h.Store, h.Store, h.Store
		if c.Shopify != nil {
			c.Shopify.Store = h.Store
		}
		c.Profiles = profiles
		c.Copies = credential.NewCopies(credential.CopiesConfig{Store: h.Store, IM: client, Jobs: h.Jobs})
		issuer, err := credential.New(c)
		if err != nil {
			return err
		}
		revocations := &credential.Revocations{Store: h.Store, Kick: client.Kick}
		h.Routes(func(mux *http.ServeMux, gate *api.Gate) {
			issuer.Routes(mux)
			c.Copies.Routes(mux, gate)
			revocations.Routes(mux, gate)
		})
		return nil
	}
}

func readGuests(s *wiring.Settings) *credential.Guests {
	g := &credential.Guests{
		Key:        s.Derived("guest tokens"),
		PerAddress: &credential.Limit{Name: "guests", Span: 10 * time.Minute},
		Budget:     &credential.Limit{Name: "guest-budget", Span: time.Hour},
	}
	g.Expire = s.Duration(config.Setting{
		Name: "GUEST_EXPIRE", Meaning: "lifetime of a guest's UserSig", Format: "a duration, such as 2h", Default: "2h",
	}, time.Minute, 24*time.Hour)
	g.Remember = s.Duration(config.Setting{
		Name: "GUEST_REMEMBER", Meaning: "lifetime of the token by which a guest is recognised; each answer renews it", Format: "a duration, such as 720h", Default: "720h",
	}, time.Minute, 180*24*time.Hour)
	g.PerAddress.Requests = s.Int(config.Setting{
		Name: "GUESTS_PER_ADDRESS", Meaning: "new guests that one client address, or one IPv6 /64 network, may become within ten minutes", Format: "a number", Default: "20",
	}, 1, 10000)
	g.Budget.Requests = s.Int(config.Setting{
		Name: "GUESTS_PER_HOUR", Meaning: "new guests of all addresses together within an hour; beyond it the log has a line with alarm=guest_budget", Format: "a number", Default: "10000",
	}, 1, 10_000_000)
	proxies := config.Setting{
		Name: "TRUSTED_PROXIES", Meaning: "networks of your reverse proxies, whose header X-Forwarded-For is believed when guests are counted by address; of no proxy without this setting",
		Format: "networks such as 10.0.0.0/8, separated by commas",
	}
	for _, text := range s.List(proxies) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, bad := netip.ParseAddr(text)
			if bad != nil {
				s.Fault(proxies.Name, "%q is no network such as 10.0.0.0/8", text)
				continue
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		g.Proxies = append(g.Proxies, prefix.Masked())
	}
	return g
}

func readShopify(s *wiring.Settings) *credential.Shopify {
	secret := config.Setting{
		Name: "SHOPIFY_SECRET", Meaning: "client secret of your Shopify app, which signs requests through its app proxy; POST /shopify/usersig does not exist without this setting",
		Format: "text, as Shopify's Dev Dashboard shows it", Secret: true, Least: 16,
	}
	previous := secret
	previous.Name, previous.Meaning = "SHOPIFY_SECRET_PREVIOUS", "client secret of your Shopify app before the current one, accepted as well while it is being changed"
	shops := config.Setting{
		Name: "SHOPIFY_SHOPS", Meaning: "shops whose customers and visitors may ask", Format: "SHOP.myshopify.com, separated by commas",
	}
	c := &credential.Shopify{}
	for _, one := range []string{s.Text(secret), s.Text(previous)} {
		if one != "" {
			c.Secrets = append(c.Secrets, one)
		}
	}
	c.Shops = s.List(shops)
	for _, shop := range c.Shops {
		if name, is := strings.CutSuffix(strings.ToLower(shop), ".myshopify.com"); !is || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			s.Fault(shops.Name, "%q is not SHOP.myshopify.com", shop)
		}
	}
	switch {
	case len(c.Secrets) == 0 && len(c.Shops) > 0:
		s.Fault(secret.Name, "required, since %s is given", shops.Name)
	case len(c.Secrets) > 0 && len(c.Shops) == 0:
		s.Fault(shops.Name, "required, since %s is given", secret.Name)
	}
	if len(c.Secrets) == 0 {
		return nil
	}
	return c
}

// maxIdentityLife bounds a token of the merchant's. Our decision: a token that
// lives longer is a session, and sessions are not put into request bodies.
const maxIdentityLife = 24 * time.Hour

// Identity reads how the merchant's tokens are verified. The result is nil where no
// tokens are accepted.
func Identity(s *wiring.Settings) credential.Prover {
	secret := config.Setting{
		Group: group, Name: "IDENTITY_SECRET", Meaning: "secret by which your own server signs identity tokens with HS256; the tokens are not accepted without this setting or IDENTITY_JWKS_URL",
		Format: "at least 32 characters", Secret: true, Least: identity.MinSecret,
	}
	jwks := config.Setting{
		Group: group, Name: "IDENTITY_JWKS_URL", Meaning: "URL of the public keys (JWKS) that verify your identity tokens, in place of IDENTITY_SECRET", Format: "https://HOST/PATH; http on loopback",
	}
	c := identity.Config{Lifetime: maxIdentityLife}
	key, at := s.Text(secret), s.URL(jwks)
	on := key != "" || at != ""
	c.Issuer = s.Text(config.Setting{
		Group: group, Name: "IDENTITY_ISSUER", Meaning: "issuer that identity tokens must name in the claim iss", Format: "text, such as https://login.example.com/", Required: on,
	})
	c.Audience = s.Text(config.Setting{
		Group: group, Name: "IDENTITY_AUDIENCE", Meaning: "audience that identity tokens must name in the claim aud", Format: "text, such as backchannel", Required: on,
	})
	c.Claim = s.Text(config.Setting{
		Group: group, Name: "IDENTITY_CLAIM", Meaning: "claim of identity tokens that holds the UserID", Format: "the name of a claim with text of at most 32 bytes", Default: "sub",
	})
	switch {
	case key != "" && at != "":
		s.Fault(jwks.Name, "there is %s too: tokens are signed one way", secret.Name)
		return nil
	case !on || c.Issuer == "" || c.Audience == "":
		return nil
	case key != "":
		c.Secret = []byte(key)
	default:
		if u, err := url.Parse(at); err != nil || u.Scheme != "https" && !loopback(u.Hostname()) {
			s.Fault(jwks.Name, "must start with https:// (http:// works on loopback alone): whoever changes the keys on their way becomes anybody")
			return nil
		}
		c.Keys = &identity.JWKS{URL: at, Transport: wiring.Transport()}
	}
	v, err := identity.New(c)
	if err != nil {
		s.Fault(secret.Name, "%s", strings.TrimPrefix(err.Error(), "identity: "))
		return nil
	}
	return v.Verify
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// readDesk reads how tokens are verified that Zendesk signs for its agents.
func readDesk(s *wiring.Settings) credential.Prover {
	audience := config.Setting{
		Name: "ZENDESK_APP_AUDIENCE", Meaning: "URL of the installation of your app in Zendesk, which its tokens name in the claim aud; agents of Zendesk get UserSigs through servers alone without this setting",
		Format: "https://SUBDOMAIN.zendesk.com/api/v2/apps/installations/ID.json",
	}
	c := identity.Config{Audience: s.URL(audience), Subject: identity.ZendeskSubject, Lifetime: time.Hour}
	key := config.Setting{
		Name: "ZENDESK_APP_KEY", Meaning: "public key of your app in Zendesk, as GET /api/v2/apps/ID/public_key.pem answers it", Format: "RSA, PEM in one line, with or without its first and last line", Required: c.Audience != "",
	}
	text := s.Text(key)
	if text == "" || c.Audience == "" {
		return nil
	}
	// The lines of a PEM file, however they were joined into one; a settings' file may
	// be the PEM file itself.
	for _, frame := range []string{"-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----", `\n`, "\n", "\r", " "} {
		text = strings.ReplaceAll(text, frame, "")
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		c.Key, err = x509.ParsePKIXPublicKey(der)
	}
	if _, is := c.Key.(*rsa.PublicKey); err != nil || !is {
		s.Fault(key.Name, "is no public key of RSA")
		return nil
	}
	if u, err := url.Parse(c.Audience); err == nil {
		c.Issuer = u.Host
	}
	v, err := identity.New(c)
	if err != nil {
		s.Fault(audience.Name, "%s", strings.TrimPrefix(err.Error(), "identity: "))
		return nil
	}
	return v.Verify
}
