// Package words reads what may be said: by which lists, who else is asked, and
// what becomes of what may not.
package words

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/flood"
	"github.com/backchannel-im/backchannel/shared/moderation/lists"
	"github.com/backchannel-im/backchannel/shared/moderation/media"
	"github.com/backchannel-im/backchannel/shared/moderation/media/tencentmedia"
	"github.com/backchannel-im/backchannel/shared/moderation/tms"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
	"github.com/backchannel-im/backchannel/shared/wiring/access"
	"github.com/backchannel-im/backchannel/shared/wiring/imclient"
	"github.com/backchannel-im/backchannel/shared/wiring/jobs"
	"github.com/backchannel-im/backchannel/shared/wiring/moderators"
)

// Words is what the settings say.
type Words struct {
	rules       string // MODERATION_RULES
	list        *wordlist.List
	conf        moderation.Config
	friends     bool
	flood       flood.Config
	people      *moderators.Settings
	inspector   *tencentmedia.Inspector // nil: files are not looked at
	replacement string
	client      func() (*im.Client, error)
}

// Read reads the settings.
func Read(set *config.Reader) *Words {
	w := &Words{client: imclient.Read(set), people: moderators.Read(set)}
	w.readList(set)
	w.conf.Exempt = []string{access.Admin(set)}
	w.conf.Encrypted = moderation.Encrypted(set.Choice(config.Setting{
		Name: "MODERATION_ENCRYPTED", Meaning: "what becomes of messages that only their receivers can read; shadow delivers and logs them",
		Format: "pass, shadow or reject", Default: string(moderation.EncryptedPass),
	}, string(moderation.EncryptedPass), string(moderation.EncryptedShadow), string(moderation.EncryptedReject)))
	w.friends = set.Choice(config.Setting{
		Name: "MODERATION_ONE_TO_ONE", Meaning: "who may write to whom in one-to-one chats", Format: "anyone or friends", Default: "anyone",
	}, "anyone", "friends") == "friends"
	w.conf.FriendsClosed = set.Choice(config.Setting{
		Name: "MODERATION_FRIENDS_UNKNOWN", Meaning: "what becomes of a one-to-one message while IM does not say who are friends",
		Format: "pass or refuse", Default: "pass",
	}, "pass", "refuse") == "refuse"
	w.conf.C2CCode = code(set, "MODERATION_C2C_CODE", "one-to-one chats", 120001, 130000)
	w.conf.GroupCode = code(set, "MODERATION_GROUP_CODE", "groups", 10100, 10200)
	w.conf.RefusedText = set.Text(config.Setting{
		Name: "MODERATION_REFUSED_TEXT", Meaning: "what the sender of a refused message reads", Format: "a sentence", Default: moderation.DefaultRefusedText,
	})
	w.conf.HeldText = set.Text(config.Setting{
		Name: "MODERATION_HELD_TEXT", Meaning: "what the sender of a message reads that waits for a moderator", Format: "a sentence", Default: moderation.DefaultHeldText,
	})
	w.readFlood(set)
	w.readTencent(set)
	return w
}

// readFlood reads how fast people may write.
func (w *Words) readFlood(set *config.Reader) {
	within := func(name string) time.Duration {
		return set.Duration(config.Setting{Name: name, Meaning: "and within how long", Format: "a duration, such as 10s", Default: "10s"}, time.Second, time.Hour)
	}
	w.flood = flood.Config{
		Messages: set.Int(config.Setting{
			Name: "MODERATION_FLOOD", Meaning: "how many messages one user may write in one conversation; 0 for any number", Format: "a number", Default: "0",
		}, 0, 500),
		Window: within("MODERATION_FLOOD_WITHIN"),
		Same: set.Int(config.Setting{
			Name: "MODERATION_SAME", Meaning: "how often one user may write nearly the same, wherever; 0 for any number", Format: "a number", Default: "0",
		}, 0, 500),
		SameWindow: within("MODERATION_SAME_WITHIN"),
		Text: set.Text(config.Setting{
			Name: "MODERATION_FLOOD_TEXT", Meaning: "what the sender reads who writes too fast", Format: "a sentence", Default: flood.DefaultText,
		}),
		Exempt: w.conf.Exempt, C2CCode: w.conf.C2CCode, GroupCode: w.conf.GroupCode,
	}
}

func code(set *config.Reader, name, where string, least, most int) int {
	s := config.Setting{
		Name: name, Meaning: "code that the sender's client gets for a message refused in " + where + "; without it, IM's own",
		Format: fmt.Sprintf("%d to %d", least, most),
	}
	if text := set.Text(s); text == "" {
		return 0
	}
	return set.Int(s, least, most)
}

// readList reads the list that the deployment brings.
func (w *Words) readList(set *config.Reader) {
	const name = "MODERATION_RULES"
	w.rules = set.Text(config.Setting{
		Name: name, Meaning: "the rule set for messages, until another is put into force; without it, the small one that ships with Backchannel",
		Format: "path of an image that scripts/rulec compiled, or https://HOST/PATH#sha256=HEX",
	})
	switch {
	case w.rules == "":
		w.list = wordlist.Default()
	case strings.Contains(w.rules, "://"):
		if _, err := lists.ParseRef(w.rules); err != nil {
			set.Fault(name, "%v", err)
		}
	default:
		image, err := os.ReadFile(w.rules)
		if err == nil {
			w.list, err = wordlist.Open(string(image))
		}
		if err != nil {
			set.Fault(name, "%v; compile a rule set with: go run ./scripts/rulec compile RULES.json -o IMAGE", err)
		}
	}
}

// readTencent reads how Tencent's moderation services are reached.
func (w *Words) readTencent(set *config.Reader) {
	url := func(name, what, example string) string {
		return set.URL(config.Setting{Name: name, Meaning: "Tencent's moderation of " + what + "; without it, nobody is asked", Format: example})
	}
	texts := url("TMS_URL", "texts, asked about each message that the rule set lets pass", "https://tms.tencentcloudapi.com")
	files := tencentmedia.Config{
		Images: url("TMS_IMAGE_URL", "pictures, asked after they were sent", "https://ims.tencentcloudapi.com"),
		Audio:  url("TMS_AUDIO_URL", "voices, asked after they were sent", "https://ams.tencentcloudapi.com"),
		Video:  url("TMS_VIDEO_URL", "videos, asked after they were sent", "https://vm.tencentcloudapi.com"),
	}
	account := tencentcloud.Account{
		Region: set.Text(config.Setting{
			Name: "TMS_REGION", Meaning: "region of these services; without it, the function's own account and region are used, on SCF", Format: "such as ap-singapore",
		}),
		SecretID: set.Text(config.Setting{
			Name: "TMS_SECRET_ID", Meaning: "who asks them, where there is TMS_REGION", Format: "a SecretId of Tencent Cloud",
		}),
		SecretKey: set.Text(config.Setting{
			Name: "TMS_SECRET_KEY", Meaning: "its key", Format: "a SecretKey of Tencent Cloud", Secret: true,
		}),
	}
	files.BizType = set.Text(config.Setting{
		Name: "TMS_BIZ_TYPE", Meaning: "the policy to judge by, as the services' console names it; without it, the default", Format: "text",
	})
	w.conf.CheckerClosed = set.Choice(config.Setting{
		Name: "TMS_AWAY", Meaning: "what becomes of messages while the moderation of texts does not answer", Format: "pass or refuse", Default: "pass",
	}, "pass", "refuse") == "refuse"
	files.CallbackURL = set.URL(config.Setting{
		Name: "TMS_RESULTS_URL", Meaning: "where voices and videos are answered about: our route /moderation/results, as Tencent reaches it", Format: "https://HOST/moderation/results",
	})
	files.Seed = set.Text(config.Setting{
		Name: "TMS_SEED", Meaning: "what signs those answers", Format: fmt.Sprintf("at least %d characters of your choice", tencentmedia.MinSeed), Secret: true,
	})
	w.replacement = set.Text(config.Setting{
		Name: "TMS_REPLACEMENT", Meaning: "what stands in place of a message with a blocked file; without it, the message is recalled", Format: "a sentence",
	})
	asksFiles := files.Images != "" || files.Audio != "" || files.Video != ""
	if texts == "" && !asksFiles {
		return
	}
	if account.Region == "" {
		var err error
		if account, err = tencentcloud.FromEnvironment(); err != nil {
			set.Fault("TMS_REGION", "required with the URL of a moderation service; %v", err)
			return
		}
	} else if account.SecretID == "" || account.SecretKey == "" {
		set.Fault("TMS_SECRET_ID", "required, with TMS_SECRET_KEY, where there is TMS_REGION")
		return
	}
	if texts != "" {
		checker, err := tms.New(tms.Config{Account: account, URL: texts, BizType: files.BizType})
		if err != nil {
			set.Fault("TMS_URL", "%v", err)
			return
		}
		w.conf.Checker = checker
	}
	if asksFiles {
		files.Account = account
		var err error
		if w.inspector, err = tencentmedia.New(files); err != nil {
			set.Fault("TMS_SEED", "%v", err)
		}
	}
}

// Rules are the rules, opened.
type Rules struct {
	flood  *flood.Guard
	filter *moderation.Filter
	names  *moderation.Names
	lists  *lists.Lists     // nil without a store
	people *moderators.Desk // nil without a queue
	media  *media.Media     // nil: files are not looked at
}

// startFor bounds what a start waits for a rule set that lies elsewhere.
const startFor = 10 * time.Second

// Open makes the rules. Without a store the rule set stays as it was deployed.
func (w *Words) Open(ctx context.Context, work *jobs.Jobs) (*Rules, error) {
	client, err := w.client()
	if err != nil {
		return nil, err
	}
	if w.list == nil {
		if w.list, err = fetch(ctx, w.rules); err != nil {
			return nil, fmt.Errorf("MODERATION_RULES: %w", err)
		}
	}
	conf, r := w.conf, &Rules{}
	conf.Lists = moderation.Fixed(w.list)
	if work.Store != nil {
		r.lists = lists.New(lists.Config{Store: work.Store, Base: w.list})
		conf.Lists = r.lists
	}
	if r.people = w.people.Open(work, client); r.people != nil {
		conf.Holder = r.people.Holder()
	}
	if w.friends {
		conf.Friends = friends{client}
	}
	if w.inspector != nil {
		if work.Ledger == nil {
			return nil, errors.New("QUEUE_URL: required, with STATE_URL, where files are looked at")
		}
		r.media = media.New(media.Config{Store: work.Store, Jobs: work.Ledger, Inspector: w.inspector, IM: client, Replacement: w.replacement})
	}
	guard := w.flood
	guard.Store = work.Store
	r.flood = flood.New(guard)
	r.filter, r.names = moderation.New(conf), moderation.NewNames(conf.Lists, client)
	return r, nil
}

func fetch(ctx context.Context, rules string) (*wordlist.List, error) {
	ref, err := lists.ParseRef(rules)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	image, err := lists.Fetch(ctx, ref)
	if err != nil {
		return nil, err
	}
	return wordlist.Open(image)
}

// Register adds the rules' callbacks.
func (r *Rules) Register(m *callback.Mux) {
	r.flood.Register(m)
	r.filter.Register(m)
	r.names.Register(m)
	if r.media != nil {
		r.media.Register(m)
	}
}

// Routes adds those of the rules under /moderation/.
func (r *Rules) Routes(mux *http.ServeMux, gate *api.Gate) {
	if r.lists != nil {
		r.lists.Routes(mux, gate)
	}
	if r.media != nil {
		r.media.Routes(mux)
	}
	if r.people != nil {
		r.people.Routes(mux, gate)
	}
}

// Sweep is what the clock does for the moderators.
func (r *Rules) Sweep(ctx context.Context) error { return r.people.Sweep(ctx) }

// friends asks IM who are friends.
type friends struct{ client *im.Client }

// AreFriends implements moderation.Friends.
func (f friends) AreFriends(ctx context.Context, a, b string) (bool, error) {
	relations, err := f.client.CheckFriends(ctx, a, b)
	switch {
	case err != nil:
		return false, err
	case len(relations) != 1 || relations[0].Code != 0:
		return false, errors.New("IM cannot tell whether two users are friends")
	}
	return relations[0].Relation == im.BothFriends, nil
}
