// Package strikes counts users' offences, and has IM warn, mute or ban users.
//
//	err := s.Add(ctx, strikes.Strike{UserID: user, Key: "review/7", Weight: 1, By: "desk", Reason: "gambling"})
//
// A strike counts its weight, and one point less with each [Config.Fade] that passes.
// The points of all of a user's strikes reach thresholds: for a warning, for a mute,
// for a ban. A moderator adds strikes, and where a setting says so a refused message
// does, by the severity of the rule that the message hit.
//
// # What IM does
//
// Muted is openconfigsvr/setnospeaking (269/4230), in all conversations, for
// [Config.MuteFor]. Banned is the same for [Config.BanFor], and the end of all logins
// (269/3853). IM cannot lock an account for a time, so an issuer of UserSigs checks
// [Strikes.Banned]. Both end by themselves.
//
// # Once
//
// Strikes are deduplicated by their keys for [Kept]. The effects of a strike are
// stored with it, in the user's partition, after an entry on the agenda; a job carries
// them out, and each step is idempotent.
package strikes

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/trail"
	"github.com/backchannel-im/backchannel/shared/process"
	"github.com/backchannel-im/backchannel/shared/queue"
)

// Our decisions.
const (
	// Kept is how long a strike is listed, and deduplicated by its key, after it was
	// added; a strike that still counts is kept longer.
	Kept = 180 * 24 * time.Hour
	// MaxStrikes bounds the strikes kept of a user: beyond it the oldest are deleted.
	MaxStrikes = 50

	MaxKey    = 128 // bytes of a key
	MaxWeight = 10
	MaxReason = trail.MaxNote // bytes

	// maxUntold is how many entries of the trail wait with a record.
	maxUntold = 10

	// guardAfter is when a sweep looks at a user whose strike may not have led to
	// anything. It is longer than whoever added it may have taken.
	guardAfter = time.Minute
)

// Kind is the sanction of a user.
type Kind string

// The sanctions, the mildest first.
const (
	None   Kind = ""
	Warned Kind = "warned"
	Muted  Kind = "muted"
	Banned Kind = "banned"
)

// IM is the part of IM's REST API that strikes use; [*im.Client] implements it.
type IM interface {
	SetNoSpeaking(ctx context.Context, userID string, c2c, groups time.Duration) error
	Kick(ctx context.Context, userID string) error
}

// Sender sends a one-to-one message once, however often it is called with the same
// event; [*once.Sender] implements it.
type Sender interface {
	C2C(ctx context.Context, event string, m im.C2CMsg) (im.C2CSent, error)
}

// Config makes [Strikes].
type Config struct {
	Store kv.Store
	Jobs  *queue.Ledger
	IM    IM
	Sends Sender

	// WarnAt, MuteAt and BanAt are the points at which a user is warned, muted and
	// banned, in rising order; 0: never.
	WarnAt, MuteAt, BanAt int
	// Fade is how long a point of a strike counts.
	Fade            time.Duration
	MuteFor, BanFor time.Duration

	// Reserved are UserIDs that get no strikes: the admin and the agents. Robots
	// get none either.
	Reserved []string

	// Notifier is the UserID that notifies users; it must be an admin of the app.
	// Texts are the notices by Kind; a Kind without a text has no notice. The text of
	// None is for a user whose sanction ends earlier than announced.
	Notifier string
	Texts    map[Kind]string

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: slog.Default
}

// Strikes are the strikes of all users. It is safe for concurrent use, also by
// several processes.
type Strikes struct {
	conf    Config
	store   kv.Store
	process *process.Process
	trail   *trail.Trail
	now     func() time.Time
}

// Sanctions is the process that carries out the effects of strikes in IM.
var Sanctions = process.Name{Agenda: "strikes", Job: "strikes.apply", Lane: queue.Fast}

// New makes Strikes, and registers the handlers of their jobs with Jobs.
func New(conf Config) *Strikes {
	if conf.Now == nil {
		conf.Now = time.Now
	}
	if conf.Log == nil {
		conf.Log = slog.Default()
	}
	s := &Strikes{
		conf: conf, store: conf.Store, now: conf.Now, trail: trail.New(conf.Store),
	}
	s.process = process.New(Sanctions, conf.Store, conf.Jobs, conf.Now, s.apply)
	conf.Jobs.Handle(offenceKind, s.offence)
	return s
}

// offenceKind is the kind of the job that adds the strike for a refused message.
const offenceKind = "strikes.offence"

// Strike implements [moderation.Striker]: a job adds a strike of as many points as
// the offence is severe.
func (s *Strikes) Strike(ctx context.Context, o moderation.Offence) error {
	if s.exempt(o.UserID) {
		return nil
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.conf.Jobs.Put(ctx, queue.Job{ID: "strikes/message/" + o.MessageID, Kind: offenceKind, Lane: queue.Slow, Body: body})
}

func (s *Strikes) offence(ctx context.Context, j queue.Job) error {
	var o moderation.Offence
	if err := json.Unmarshal(j.Body, &o); err != nil {
		return errors.New("strikes: the job names no offence")
	}
	return s.Add(ctx, Strike{UserID: o.UserID, Key: "message/" + o.MessageID, Weight: o.Severity, By: Filter, Reason: o.Category})
}

// Filter is the By of strikes for refused messages; a moderator's strike has the name
// of an API key.
const Filter = "(filter)"

// exempt reports whether a user gets no strikes.
func (s *Strikes) exempt(userID string) bool {
	return im.IsRobot(userID) || slices.Contains(s.conf.Reserved, userID)
}

// Strike is an offence of a user.
type Strike struct {
	UserID string
	Key    string // idempotency key together with By, or with Review; at most MaxKey bytes
	Weight int    // points, 1 to MaxWeight
	By     string // who says so: the name of an API key
	Reason string // for people; at most MaxReason bytes
	Review string // id of the held message that it is for; "" for none
}

// check refuses what cannot be, with a sentence for whoever sent it.
func (s Strike) check() error {
	switch {
	case usersig.CheckUserID(s.UserID) != nil:
		return errUserID
	case s.Key == "" || len(s.Key) > MaxKey:
		return fault.New(fault.Invalid, "a strike's key has 1 to %d bytes", MaxKey)
	case s.Weight < 1 || s.Weight > MaxWeight:
		return fault.New(fault.Invalid, "weight is a number from 1 to %d", MaxWeight)
	case len(s.Reason) > MaxReason:
		return errReason
	}
	return nil
}

var (
	errUserID = fault.New(fault.Invalid, "a userId has 1 to 32 visible ASCII characters")
	errReason = fault.New(fault.Invalid, "reason has at most %d bytes", MaxReason)
)

// Add adds a strike, unless its key is known; a job carries out its effects in IM.
// Errors are a fault of code Invalid, and those of the store and the queue; after the
// latter the strike may have been added or not: retry Add.
func (s *Strikes) Add(ctx context.Context, add Strike) error {
	if err := add.check(); err != nil {
		return err
	}
	if s.exempt(add.UserID) {
		return fault.New(fault.Forbidden, "the admin, agents and robots get no strikes")
	}
	return s.change(ctx, add.UserID, func(r *record) error { return r.add(s.conf, add, s.now()) })
}

// Forgive sets the points of the strike with this key, or of all strikes with "", to
// zero. A sanction ends when the remaining points are below its threshold. Forgiving
// again is a no-op. Errors are a fault of code NotFound where there is no such strike,
// and those of Add.
func (s *Strikes) Forgive(ctx context.Context, userID, key, by, reason string) error {
	switch {
	case usersig.CheckUserID(userID) != nil:
		return errUserID
	case len(key) > MaxKey:
		return fault.New(fault.Invalid, "a strike's key has 1 to %d bytes", MaxKey)
	case len(reason) > MaxReason:
		return errReason
	}
	return s.change(ctx, userID, func(r *record) error { return r.forgive(s.conf, userID, key, by, reason, s.now()) })
}

// View is the state of a user's strikes.
type View struct {
	UserID  string    `json:"userId"`
	Points  int       `json:"points"`
	Suffers Kind      `json:"suffers"` // Muted, Banned, or None
	Until   time.Time `json:"until,omitzero"`
	Strikes []Counted `json:"strikes"` // the newest first
}

// Counted is a stored strike with its present points.
type Counted struct {
	Key      string    `json:"key"`
	Weight   int       `json:"weight"`
	Points   int       `json:"points"` // its points now
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Reason   string    `json:"reason,omitempty"`
	Review   string    `json:"review,omitempty"`
	Forgiven bool      `json:"forgiven,omitempty"`
}

// View returns the state of a user's strikes, the zero View for a user without
// strikes.
func (s *Strikes) View(ctx context.Context, userID string) (View, error) {
	if usersig.CheckUserID(userID) != nil {
		return View{}, errUserID
	}
	r, _, err := load(ctx, s.store, userID)
	if err != nil {
		return View{}, err
	}
	now := s.now()
	v := View{UserID: userID, Points: r.points(s.conf.Fade, now), Strikes: []Counted{}}
	if r.Sanction.active(now) {
		v.Suffers, v.Until = r.Sanction.Kind, r.Sanction.Until
	}
	for _, c := range slices.Backward(r.Strikes) {
		c.Points = c.points(s.conf.Fade, now)
		v.Strikes = append(v.Strikes, c)
	}
	return v, nil
}

// Banned returns until when a user is banned; the zero time for a user who is not
// banned. It is for issuers of credentials.
func (s *Strikes) Banned(ctx context.Context, userID string) (until time.Time, err error) {
	return BannedUntil(ctx, s.store, userID, s.now())
}

// BannedUntil is [Strikes.Banned] for a program that has only the store.
func BannedUntil(ctx context.Context, store kv.Store, userID string, now time.Time) (time.Time, error) {
	r, _, err := load(ctx, store, userID)
	if err != nil || r.Sanction.Kind != Banned || !r.Sanction.active(now) {
		return time.Time{}, err
	}
	return r.Sanction.Until, nil
}

// record is all that is kept of a user, in his own partition.
type record struct {
	Strikes  []Counted `json:"strikes"` // the oldest first
	Sanction sanction  `json:"sanction"`
	Version  int       `json:"version"` // counts changes
	Applied  int       `json:"applied"` // the version that IM and the trail know
	Told     int       `json:"told"`    // number of the sanction that the user was told of
	// Untold are entries that the trail may not have.
	Untold []trail.Entry `json:"untold,omitempty"`
}

// sanction is what a user suffers.
type sanction struct {
	Number int       `json:"number"` // of the user's sanctions; 0: there was none
	Kind   Kind      `json:"kind"`   // None: the one before was ended, long before Until
	Until  time.Time `json:"until,omitzero"`
}

// active reports whether a user suffers now. A warning is over when it is said.
func (s sanction) active(now time.Time) bool { return s.Kind != None && s.Until.After(now) }

// points is what a strike counts.
func (c Counted) points(fade time.Duration, now time.Time) int {
	if c.Forgiven {
		return 0
	}
	return max(0, c.Weight-int(now.Sub(c.At)/fade))
}

func (r *record) points(fade time.Duration, now time.Time) (sum int) {
	for _, c := range r.Strikes {
		sum += c.points(fade, now)
	}
	return sum
}

// deserved is what so many points lead to.
func (c Config) deserved(points int) Kind {
	for _, at := range []struct {
		points int
		kind   Kind
	}{{c.BanAt, Banned}, {c.MuteAt, Muted}, {c.WarnAt, Warned}} {
		if at.points > 0 && points >= at.points {
			return at.kind
		}
	}
	return None
}

// severity orders kinds.
func severity(k Kind) int { return slices.Index([]Kind{None, Warned, Muted, Banned}, k) }

func (r *record) find(key string) int {
	return slices.IndexFunc(r.Strikes, func(c Counted) bool { return c.Key == key })
}

// add counts a strike and what it leads to. The same again, or a milder one,
// does not shorten what a user suffers; the same again begins anew.
func (r *record) add(conf Config, s Strike, now time.Time) error {
	for _, c := range r.Strikes {
		switch {
		case c.Key != s.Key, c.By != s.By && s.Review == "":
			// Another server's keys are its own.
		case s.Review == "" && (c.Weight != s.Weight || c.Reason != s.Reason):
			return fault.New(fault.IdempotencyMismatch, "this Idempotency-Key was used for another strike; use a new one")
		default:
			return nil
		}
	}
	now = now.UTC()
	r.Strikes = slices.DeleteFunc(r.Strikes, func(c Counted) bool {
		return now.Sub(c.At) > Kept && c.points(conf.Fade, now) == 0
	})
	r.Strikes = append(r.Strikes, Counted{Key: s.Key, Weight: s.Weight, At: now, By: s.By, Reason: s.Reason, Review: s.Review})
	r.Strikes = r.Strikes[max(0, len(r.Strikes)-MaxStrikes):]
	r.tell(trail.Entry{
		ID: "strike/" + s.UserID + "/" + s.By + "/" + s.Key, At: now, By: s.By, What: fmt.Sprintf("strike of %d added", s.Weight),
		UserID: s.UserID, Review: s.Review, Note: s.Reason,
	})
	kind := conf.deserved(r.points(conf.Fade, now))
	if kind == None || r.Sanction.active(now) && severity(kind) < severity(r.Sanction.Kind) {
		return nil
	}
	r.punish(conf, s.UserID, kind, now)
	return nil
}

// punish begins another sanction.
func (r *record) punish(conf Config, userID string, kind Kind, now time.Time) {
	r.Sanction.Number++
	r.Sanction.Kind = kind
	switch kind {
	case Warned:
		r.Sanction.Until = time.Time{}
	case Muted:
		r.Sanction.Until = now.Add(conf.MuteFor)
	case Banned:
		r.Sanction.Until = now.Add(conf.BanFor)
	}
	what := "user " + string(kind)
	if kind == None {
		what = "user free again"
	}
	r.tell(trail.Entry{ID: fmt.Sprintf("sanction/%s/%d", userID, r.Sanction.Number), At: now, What: what, UserID: userID})
}

// tell notes what has changed.
func (r *record) tell(e trail.Entry) {
	r.Version++
	r.Untold = append(r.Untold, e)
}

// forgive takes strikes out of the count.
func (r *record) forgive(conf Config, userID, key, by, reason string, now time.Time) error {
	now = now.UTC()
	first := r.find(key)
	if key != "" && first < 0 {
		return fault.New(fault.NotFound, "this user has no strike with this key, or no longer")
	}
	changed := false
	for i := range r.Strikes {
		if c := &r.Strikes[i]; (key == "" || c.Key == key) && !c.Forgiven {
			c.Forgiven, changed = true, true
		}
	}
	if !changed {
		return nil
	}
	what := "strike forgiven"
	if key == "" {
		what = "all strikes forgiven"
	}
	r.tell(trail.Entry{ID: "forgiven/" + userID + "/" + cmp.Or(key, rand.Text()), At: now, By: by, What: what, UserID: userID, Note: reason})
	if kind := conf.deserved(r.points(conf.Fade, now)); r.Sanction.active(now) && severity(kind) < severity(r.Sanction.Kind) {
		if kind == Warned { // he was, long ago
			kind = None
		}
		r.punish(conf, userID, kind, now)
	}
	return nil
}

func partition(userID string) string { return "strikes/" + userID }

const recordKey = "record"

func load(ctx context.Context, store kv.Store, userID string) (r record, cond kv.Cond, err error) {
	item, err := store.Get(ctx, partition(userID), recordKey)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return r, kv.Absent(), nil
	case err != nil:
		return r, cond, err
	}
	if err := json.Unmarshal(item.Value, &r); err != nil {
		return r, cond, fmt.Errorf("strikes: a record does not decode: %w", err)
	}
	return r, kv.Rev(item.Rev), nil
}

func (s *Strikes) save(ctx context.Context, userID string, r record, cond kv.Cond) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("strikes: %w", err)
	}
	expires := s.now().Add(max(Kept, MaxWeight*s.conf.Fade))
	if r.Sanction.Until.After(expires) {
		expires = r.Sanction.Until
	}
	return s.store.Commit(ctx, partition(userID), kv.NewOp("strikes"), kv.Put{Key: recordKey, Value: value, Expires: expires, If: cond})
}

// change commits a change of a user's record, and has what it leads to done. It
// puts the job also where it finds nothing to change: an earlier try may have
// died before it could.
func (s *Strikes) change(ctx context.Context, userID string, f func(*record) error) error {
	// The guard comes before the commit that it guards.
	if err := s.process.Guard(ctx, userID, s.now().Add(guardAfter)); err != nil && !errors.Is(err, kv.ErrConflict) {
		return err // with a conflict, another has just put it
	}
	for {
		r, cond, err := load(ctx, s.store, userID)
		if err != nil {
			return err
		}
		if len(r.Untold) >= maxUntold {
			if err := s.tell(ctx, &r); err != nil {
				return err
			}
		}
		before := r.Version
		if err := f(&r); err != nil {
			return err
		}
		if r.Version != before {
			switch err := s.save(ctx, userID, r, cond); {
			case errors.Is(err, kv.ErrConflict):
				continue
			case err != nil:
				return err
			}
		}
		return s.enqueue(ctx, userID, r)
	}
}

// tell adds to the trail what it may not have.
func (s *Strikes) tell(ctx context.Context, r *record) error {
	for _, e := range r.Untold {
		if err := s.trail.Add(ctx, e); err != nil {
			return err
		}
	}
	r.Untold = nil
	return nil
}

// enqueue starts the job for what IM or the trail does not know.
func (s *Strikes) enqueue(ctx context.Context, userID string, r record) error {
	if r.Applied == r.Version {
		return nil
	}
	return s.process.Start(ctx, userID, strconv.Itoa(r.Version))
}
