package credential

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Bounds of what a user says about himself.
const (
	maxName = 100 // characters
	maxFace = 500 // bytes, as IM has it
)

// Profile is a user's public profile. It is no identity: no user is looked up by it,
// and two users may have the same.
type Profile struct {
	Nick    string `json:"nick,omitempty"`
	FaceURL string `json:"face,omitempty"`
	Email   string `json:"email,omitempty"`
}

// checkName refuses a name that cannot be shown in one line. HTML is text here,
// and every page of ours shows it as text.
func checkName(name string) error {
	switch {
	case utf8.RuneCountInString(name) > maxName:
		return fault.New(fault.Invalid, "name is over %d characters", maxName)
	case strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
	}):
		return fault.New(fault.Invalid, "name must be one line of text")
	}
	return nil
}

// checkFace refuses what is no address of a picture.
func checkFace(face string) error {
	if len(face) > maxFace || face != "" && !strings.HasPrefix(face, "https://") && !strings.HasPrefix(face, "http://") || strings.ContainsFunc(face, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fault.New(fault.Invalid, "faceUrl must be a URL of at most %d bytes", maxFace)
	}
	return nil
}

// checkEmail refuses what is no e-mail address.
func checkEmail(email string) error {
	if email == "" {
		return nil
	}
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || parsed.Name != "" || len(email) > MaxEmail || !strings.Contains(email[strings.LastIndexByte(email, '@'):], ".") {
		return fault.New(fault.Invalid, "email must be an e-mail address of at most %d bytes", MaxEmail)
	}
	return nil
}

// Accounts at IM, as [im.Client] has them.
type imAccounts interface {
	ImportAccount(ctx context.Context, a im.Account) error
	SetPortrait(ctx context.Context, userID string, items ...im.ProfileItem) error
}

// Profiles writes users' profiles into their accounts at IM, once for each change. It
// is safe for concurrent use.
type Profiles struct {
	Store kv.Store
	IM    imAccounts
	// EmailTag is the field of IM's profile for an e-mail address; "": addresses are
	// not stored.
	EmailTag string
	Now      func() time.Time // nil: time.Now
}

const (
	profileKey = "profile"
	// profileLife is how long it is remembered what IM was told.
	profileLife = 180 * 24 * time.Hour
	// profilePatience is how long a user waits for IM: the credential does not
	// depend on it.
	profilePatience = 3 * time.Second
)

// toldProfile is what IM was told, or is to be told.
type toldProfile struct {
	Profile
	Done bool `json:"done"`
}

// Set writes a user's profile into IM; empty fields leave IM's values unchanged. Set
// returns no error, so that a login never fails by it: a failure is logged, and the
// next issue for the user retries.
func (p *Profiles) Set(ctx context.Context, userID string, want Profile) {
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, profilePatience)
	defer cancel()
	if err := p.set(ctx, userID, want); err != nil {
		slog.WarnContext(ctx, "profile of a user not written to IM; the next request for a credential tries again", "error", err.Error())
	}
}

func profilePartition(userID string) string { return "account/" + userID }

func (p *Profiles) set(ctx context.Context, userID string, want Profile) error {
	partition, told, cond := profilePartition(userID), toldProfile{}, kv.Absent()
	item, err := p.Store.Get(ctx, partition, profileKey)
	switch {
	case errors.Is(err, kv.ErrNotFound):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(item.Value, &told); err != nil {
			return err
		}
		cond = kv.Rev(item.Rev)
	}
	next := told
	for _, f := range []struct{ to, from *string }{
		{&next.Nick, &want.Nick}, {&next.FaceURL, &want.FaceURL}, {&next.Email, &want.Email},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	if next.Profile == (Profile{}) || next == told && told.Done {
		return nil
	}
	// What is wanted is kept first: it survives whatever happens to the call.
	next.Done = false
	if next != told {
		if cond, err = p.put(ctx, partition, next, cond); err != nil {
			return err
		}
	}
	if err := p.tell(ctx, userID, next.Profile); err != nil {
		return err
	}
	next.Done = true
	_, err = p.put(ctx, partition, next, cond)
	return err
}

// tell writes a profile to IM. Repeating it changes nothing.
func (p *Profiles) tell(ctx context.Context, userID string, next Profile) error {
	if err := p.IM.ImportAccount(ctx, im.Account{UserID: userID, Nick: next.Nick, FaceURL: next.FaceURL}); err != nil {
		return err
	}
	if next.Email == "" || p.EmailTag == "" {
		return nil
	}
	return p.IM.SetPortrait(ctx, userID, im.TextItem(p.EmailTag, next.Email))
}

func (p *Profiles) put(ctx context.Context, partition string, t toldProfile, cond kv.Cond) (kv.Cond, error) {
	value, err := json.Marshal(t)
	if err != nil {
		return cond, err
	}
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	op := kv.NewOp("profile")
	err = p.Store.Commit(ctx, partition, op, kv.Put{Key: profileKey, Value: value, Expires: now().Add(profileLife), If: cond})
	return kv.Rev(op), err
}
