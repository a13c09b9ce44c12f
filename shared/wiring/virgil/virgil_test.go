package virgil

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/virgil"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

const appID = "be00e10e4e1f4bf58f9b4dc85d79c77a"

func newKey(t *testing.T) (text, computedID string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text = base64.StdEncoding.EncodeToString(der)
	k, err := virgil.ParseKey("00", text)
	if err != nil {
		t.Fatal(err)
	}
	return text, k.ComputedID()
}

// reader has what every issuer needs, and these.
func reader(values map[string]string, of func(func(string) (string, bool)) *config.Reader) *config.Reader {
	all := map[string]string{"SDK_APP_ID": "1400000001", "SECRET": "0123456789abcdef"}
	for name, value := range values {
		all[name] = value
	}
	return of(func(name string) (string, bool) { v, ok := all[name]; return v, ok })
}

func TestSettings(t *testing.T) {
	key, id := newKey(t)
	old, oldID := newKey(t)
	full := map[string]string{"VIRGIL_APP_ID": appID, "VIRGIL_APP_KEY_ID": id, "VIRGIL_APP_KEY": key}
	with := func(pairs ...string) map[string]string {
		out := map[string]string{}
		for name, value := range full {
			out[name] = value
		}
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	for name, tt := range map[string]struct {
		values             map[string]string
		faults             []string // as its own function finds them, a prefix each
		optional           []string // as other programs do, if they differ
		isThere, otherwise bool     // whether it is on, in its own function and in others
	}{
		"all":      {with(), nil, nil, true, true},
		"rotation": {with("VIRGIL_APP_KEY_ID_PREVIOUS", oldID, "VIRGIL_APP_KEY_PREVIOUS", old), nil, nil, true, true},
		"none": {
			nil,
			[]string{"VIRGIL_APP_KEY: required", "VIRGIL_APP_KEY_ID: required", "VIRGIL_APP_ID: required"},
			[]string{},
			false, false,
		},
		"no key":             {with("VIRGIL_APP_KEY", ""), []string{"VIRGIL_APP_KEY: required"}, nil, false, false},
		"no id":              {with("VIRGIL_APP_KEY_ID", ""), []string{"VIRGIL_APP_KEY_ID: required"}, nil, false, false},
		"no app":             {with("VIRGIL_APP_ID", ""), []string{"VIRGIL_APP_ID: required"}, nil, false, false},
		"app alone":          {map[string]string{"VIRGIL_APP_ID": appID}, []string{"VIRGIL_APP_KEY: required", "VIRGIL_APP_KEY_ID: required"}, []string{"VIRGIL_APP_KEY: required, since VIRGIL_APP_ID"}, false, false},
		"PEM":                {with("VIRGIL_APP_KEY", "-----BEGIN PRIVATE KEY-----\n"+key+"\n-----END PRIVATE KEY-----"), []string{"VIRGIL_APP_KEY: the App Key is in PEM form: leave out"}, nil, false, false},
		"cut off":            {with("VIRGIL_APP_KEY", key[:50]), []string{"VIRGIL_APP_KEY: the App Key is cut off"}, nil, false, false},
		"id of another kind": {with("VIRGIL_APP_KEY_ID", "my key"), []string{"VIRGIL_APP_KEY_ID: an App Key ID is letters and digits"}, nil, false, false},
		"app with a prefix":  {with("VIRGIL_APP_ID", "virgil-"+appID), []string{`VIRGIL_APP_ID: an App ID is letters and digits, as on Virgil's dashboard and without "virgil-"`}, nil, false, false},
		"half a previous":    {with("VIRGIL_APP_KEY_ID_PREVIOUS", oldID), []string{"VIRGIL_APP_KEY_PREVIOUS: required, since VIRGIL_APP_KEY_ID_PREVIOUS"}, nil, true, true},
		"other half":         {with("VIRGIL_APP_KEY_PREVIOUS", old), []string{"VIRGIL_APP_KEY_ID_PREVIOUS: required"}, nil, true, true},
		"previous cut off":   {with("VIRGIL_APP_KEY_ID_PREVIOUS", oldID, "VIRGIL_APP_KEY_PREVIOUS", old[:20]), []string{"VIRGIL_APP_KEY_PREVIOUS: the App Key is cut off"}, nil, true, true},
		"one id twice":       {with("VIRGIL_APP_KEY_ID_PREVIOUS", id, "VIRGIL_APP_KEY_PREVIOUS", old), []string{"VIRGIL_APP_KEY_ID_PREVIOUS: is the same as VIRGIL_APP_KEY_ID"}, nil, true, true},
		"two hours":          {with("VIRGIL_JWT_EXPIRE", "2h"), []string{"VIRGIL_JWT_EXPIRE: must be a duration from 1m0s to 1h0m0s"}, nil, true, true},
		"development key":    {with("VIRGIL_APP_KEY", DevelopmentKey), []string{"VIRGIL_APP_KEY: the development key is published"}, nil, false, false},
		"same, alone":        {map[string]string{"VIRGIL_APP_KEY": DevelopmentKey}, []string{"VIRGIL_APP_KEY_ID: required", "VIRGIL_APP_KEY: the development key is published", "VIRGIL_APP_ID: required"}, []string{"VIRGIL_APP_KEY_ID: required", "VIRGIL_APP_KEY: the development key is published"}, false, false},
		"same, two lines":    {with("VIRGIL_APP_KEY", DevelopmentKey[:32]+"\n"+DevelopmentKey[32:]), []string{"VIRGIL_APP_KEY: the development key is published"}, nil, false, false},
		"same, previous":     {with("VIRGIL_APP_KEY_ID_PREVIOUS", oldID, "VIRGIL_APP_KEY_PREVIOUS", DevelopmentKey), []string{"VIRGIL_APP_KEY_PREVIOUS: the development key is published"}, nil, true, true},
	} {
		if tt.optional == nil {
			tt.optional = tt.faults
		}
		for _, way := range []struct {
			name   string
			alone  bool
			faults []string
			want   bool
		}{
			{"its own function", true, tt.faults, tt.isThere},
			{"another program", false, tt.optional, tt.otherwise},
		} {
			set := reader(tt.values, config.NewReader)
			if on := Feature.Read(&wiring.Settings{Reader: set, Alone: way.alone}) != nil; on != way.want {
				t.Errorf("%s: %s: on is %v", name, way.name, on)
			}
			text := ""
			if err := set.Err(); err != nil {
				text = err.Error()
			}
			lines := strings.Split(text, "\n")
			if text == "" {
				lines = nil
			}
			matches := len(lines) == len(way.faults)
			for i := 0; matches && i < len(lines); i++ {
				matches = strings.HasPrefix(lines[i], way.faults[i])
			}
			if !matches {
				t.Errorf("%s: %s finds\n%s\nwant %q", name, way.name, text, way.faults)
			}
			if strings.Contains(text, key[40:]) || strings.Contains(text, old[40:]) {
				t.Errorf("%s: %s repeats the key", name, way.name)
			}
		}
	}
}

// TestDevelopment: scripts/dev's key is one, and its id the one Virgil would
// compute.
func TestDevelopment(t *testing.T) {
	var log bytes.Buffer
	warnings(t, &log)
	set := reader(map[string]string{
		"VIRGIL_APP_ID": DevelopmentAppID, "VIRGIL_APP_KEY_ID": DevelopmentKeyID, "VIRGIL_APP_KEY": DevelopmentKey,
	}, config.NewDevelopmentReader)
	if Feature.Read(&wiring.Settings{Reader: set, Alone: true}) == nil || set.Err() != nil {
		t.Error("off: ", set.Err())
	}
	if log.Len() > 0 {
		t.Errorf("warned: %s", log.String())
	}
}

// TestAnotherIDIsWarnedAbout: the dashboard's id counts, but it may have been
// copied from the wrong line.
func TestAnotherIDIsWarnedAbout(t *testing.T) {
	var log bytes.Buffer
	warnings(t, &log)
	key, id := newKey(t)
	set := reader(map[string]string{"VIRGIL_APP_ID": appID, "VIRGIL_APP_KEY_ID": "0123456789abcdef", "VIRGIL_APP_KEY": key}, config.NewReader)
	s := signer(set, true)
	if s == nil || set.Err() != nil {
		t.Fatal(s, set.Err())
	}
	if !strings.Contains(log.String(), "VIRGIL_APP_KEY_ID is not") || !strings.Contains(log.String(), id) {
		t.Errorf("not warned: %s", log.String())
	}
	jwt, _, err := s.Sign("alice", virgil.MinLifetime)
	if c, verr := s.Verify(jwt); err != nil || verr != nil || c.KeyID != "0123456789abcdef" {
		t.Errorf("%+v, %v, %v", c, err, verr)
	}
}

func warnings(t *testing.T, to *bytes.Buffer) {
	t.Helper()
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(to, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
}
