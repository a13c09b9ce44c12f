// Package moderation wires the filter before each message with its rule sets,
// Tencent's moderation services, and the moderators.
package moderation

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
	"github.com/backchannel-im/backchannel/shared/im/once"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/flood"
	"github.com/backchannel-im/backchannel/shared/moderation/lists"
	"github.com/backchannel-im/backchannel/shared/moderation/media"
	"github.com/backchannel-im/backchannel/shared/moderation/media/tencentmedia"
	"github.com/backchannel-im/backchannel/shared/moderation/tms"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/tencentcloud"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// Feature is the verdict on each message before delivery, with reviews, strikes, and
// the inspection of files after delivery.
var Feature = wiring.Feature{
	Name: "moderation", Function: "before-send-filter",
	Callbacks: true, Store: wiring.Optional, Queue: wiring.Optional, Callers: wiring.Servers,
	Read: read,
}

// settings is what the settings say.
type settings struct {
	rules       string // MODERATION_RULES
	list        *wordlist.List
	conf        moderation.Config
	friends     bool
	flood       flood.Config
	people      people
	inspector   *tencentmedia.Inspector // nil: files are not looked at
	replacement string
	client      *im.Client
}

func read(s *wiring.Settings) wiring.Open {
	w := &settings{client: s.IM(), people: readPeople(s)}
	w.conf.Exempt = []string{s.Admin()}
	set := s.Reader
	w.readList(set)
	w.conf.Encrypted = moderation.Encrypted(set.Choice(config.Setting{
		Name: "MODERATION_ENCRYPTED", Meaning: "verdict on end-to-end encrypted messages, which only their receivers can read; shadow delivers and logs them",
		Format: "pass, shadow or reject", Default: string(moderation.EncryptedPass),
	}, string(moderation.EncryptedPass), string(moderation.EncryptedShadow), string(moderation.EncryptedReject)))
	w.conf.Unfinished = moderation.Unfinished(set.Choice(config.Setting{
		Name: "MODERATION_UNFINISHED", Meaning: "verdict on messages that the word filter cannot read to their end, because they are full of disguised words or IM's time is over; review holds them for a moderator",
		Format: "reject or review", Default: string(moderation.UnfinishedReject),
	}, string(moderation.UnfinishedReject), string(moderation.UnfinishedReview)))
	w.friends = set.Choice(config.Setting{
		Name: "MODERATION_ONE_TO_ONE", Meaning: "users who may write to each other in one-to-one chats", Format: "anyone or friends", Default: "anyone",
	}, "anyone", "friends") == "friends"
	w.conf.FriendsClosed = set.Choice(config.Setting{
		Name: "MODERATION_FRIENDS_UNKNOWN", Meaning: "verdict on a one-to-one message when IM's friend check fails",
		Format: "pass or refuse", Default: "pass",
	}, "pass", "refuse") == "refuse"
	w.conf.C2CCode = code(set, "MODERATION_C2C_CODE", "one-to-one chats", 120001, 130000)
	w.conf.GroupCode = code(set, "MODERATION_GROUP_CODE", "groups", 10100, 10200)
	w.conf.RefusedText = set.Text(config.Setting{
		Name: "MODERATION_REFUSED_TEXT", Meaning: "text that the sender of a refused message gets", Format: "a sentence", Default: moderation.DefaultRefusedText,
	})
	w.conf.HeldText = set.Text(config.Setting{
		Name: "MODERATION_HELD_TEXT", Meaning: "text that the sender of a message gets when the message waits for a moderator", Format: "a sentence", Default: moderation.DefaultHeldText,
	})
	w.readFlood(set)
	w.readTencent(set)
	return w.open
}

// readFlood reads how fast people may write.
func (w *settings) readFlood(set *config.Reader) {
	window := func(name, counted string) time.Duration {
		return set.Duration(config.Setting{
			Name: name, Meaning: "time window over which " + counted + " counts messages", Format: "a duration, such as 10s", Default: "10s",
		}, time.Second, time.Hour)
	}
	w.flood = flood.Config{
		Messages: set.Int(config.Setting{
			Name: "MODERATION_FLOOD", Meaning: "messages that one user may write in one conversation within MODERATION_FLOOD_WITHIN; 0 for any number", Format: "a number", Default: "0",
		}, 0, 500),
		Window: window("MODERATION_FLOOD_WITHIN", "MODERATION_FLOOD"),
		Same: set.Int(config.Setting{
			Name: "MODERATION_SAME", Meaning: "times that one user may write nearly the same text, in all conversations together, within MODERATION_SAME_WITHIN; 0 for any number", Format: "a number", Default: "0",
		}, 0, 500),
		SameWindow: window("MODERATION_SAME_WITHIN", "MODERATION_SAME"),
		Text: set.Text(config.Setting{
			Name: "MODERATION_FLOOD_TEXT", Meaning: "text that the sender of a message gets when the sender writes too fast", Format: "a sentence", Default: flood.DefaultText,
		}),
		Exempt: w.conf.Exempt, C2CCode: w.conf.C2CCode, GroupCode: w.conf.GroupCode,
	}
}

func code(set *config.Reader, name, where string, least, most int) int {
	s := config.Setting{
		Name: name, Meaning: "error code that the sender's client gets for a message refused in " + where + "; IM's own code without this setting",
		Format: fmt.Sprintf("%d to %d", least, most),
	}
	if text := set.Text(s); text == "" {
		return 0
	}
	return set.Int(s, least, most)
}

// readList reads the list that the deployment brings.
func (w *settings) readList(set *config.Reader) {
	const name = "MODERATION_RULES"
	w.rules = set.Text(config.Setting{
		Name: name, Meaning: "word filter's rule set, until another is activated; the small one that ships with Backchannel without this setting",
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

// tencent is the account at Tencent's moderation services, and the policy there.
type tencent struct {
	account tencentcloud.Account
	bizType string
	texts   string // URL; "" for no checker
}

func service(set *config.Reader, name, what, example string) string {
	return set.URL(config.Setting{Name: name, Meaning: "endpoint of Tencent's moderation of " + what + "; off without this setting", Format: example})
}

func readAccount(set *config.Reader) (t tencent) {
	t.texts = service(set, "TMS_URL", "texts, called for each message that passes the rule set", "https://tms.tencentcloudapi.com")
	t.account = tencentcloud.Account{
		Region: set.Text(config.Setting{
			Name: "TMS_REGION", Meaning: "region of Tencent's moderation services; the function's own account and region without this setting, on SCF", Format: "such as ap-singapore",
		}),
		SecretID: set.Text(config.Setting{
			Name: "TMS_SECRET_ID", Meaning: "Tencent Cloud SecretId used for moderation calls, required with TMS_REGION", Format: "a SecretId of Tencent Cloud",
		}),
		SecretKey: set.Text(config.Setting{
			Name: "TMS_SECRET_KEY", Meaning: "Tencent Cloud SecretKey used for moderation calls, required with TMS_REGION", Format: "a SecretKey of Tencent Cloud", Secret: true,
		}),
	}
	t.bizType = set.Text(config.Setting{
		Name: "TMS_BIZ_TYPE", Meaning: "name of the moderation policy in Tencent's console; the default policy without this setting", Format: "text",
	})
	return t
}

// usable completes the account, and reports whether it can be used.
func (t *tencent) usable(set *config.Reader) bool {
	if t.account.Region == "" {
		var err error
		if t.account, err = tencentcloud.FromEnvironment(); err != nil {
			set.Fault("TMS_REGION", "required with the URL of a moderation service; %v", err)
			return false
		}
	} else if t.account.SecretID == "" || t.account.SecretKey == "" {
		set.Fault("TMS_SECRET_ID", "required, with TMS_SECRET_KEY, where there is TMS_REGION")
		return false
	}
	return true
}

// readChecker reads how Tencent judges texts.
func (w *settings) readChecker(set *config.Reader, t *tencent) {
	w.conf.CheckerClosed = set.Choice(config.Setting{
		Name: "TMS_AWAY", Meaning: "verdict on a message when Tencent's moderation of texts does not answer", Format: "pass or refuse", Default: "pass",
	}, "pass", "refuse") == "refuse"
	if t.texts == "" || !t.usable(set) {
		return
	}
	checker, err := tms.New(tms.Config{Account: t.account, URL: t.texts, BizType: t.bizType})
	if err != nil {
		set.Fault("TMS_URL", "%v", err)
		return
	}
	w.conf.Checker = checker
}

// readTencent reads how Tencent's moderation services are reached.
func (w *settings) readTencent(set *config.Reader) {
	t := readAccount(set)
	files := tencentmedia.Config{
		Images:  service(set, "TMS_IMAGE_URL", "pictures, called after a picture was sent", "https://ims.tencentcloudapi.com"),
		Audio:   service(set, "TMS_AUDIO_URL", "voice messages, called after a voice message was sent", "https://ams.tencentcloudapi.com"),
		Video:   service(set, "TMS_VIDEO_URL", "videos, called after a video was sent", "https://vm.tencentcloudapi.com"),
		BizType: t.bizType,
	}
	files.CallbackURL = set.URL(config.Setting{
		Name: "TMS_RESULTS_URL", Meaning: "public URL of the route /moderation/results, to which Tencent sends results for voice messages and videos", Format: "https://HOST/moderation/results",
	})
	files.Seed = set.Text(config.Setting{
		Name: "TMS_SEED", Meaning: "key that signs the results that Tencent sends to TMS_RESULTS_URL", Format: fmt.Sprintf("at least %d characters of your choice", tencentmedia.MinSeed), Secret: true,
	})
	w.replacement = set.Text(config.Setting{
		Name: "TMS_REPLACEMENT", Meaning: "text that replaces a message with a blocked file; the message is recalled without this setting", Format: "a sentence",
	})
	w.readChecker(set, &t)
	switch {
	case files.Images == "" && files.Audio == "" && files.Video == "":
		return
	case t.texts != "" && w.conf.Checker == nil:
		return // the fault is reported
	case t.texts == "" && !t.usable(set):
		return
	}
	files.Account = t.account
	var err error
	if w.inspector, err = tencentmedia.New(files); err != nil {
		set.Fault("TMS_SEED", "%v", err)
	}
}

// startFor bounds what a start waits for a rule set that lies elsewhere.
const startFor = 10 * time.Second

// open makes the rules. Without a store the rule set stays as it was deployed;
// without a queue nobody reviews.
func (w *settings) open(ctx context.Context, h *wiring.House) error {
	conf := w.conf
	active, err := w.lists(ctx, h)
	if err != nil {
		return err
	}
	conf.Lists = active
	if active, is := active.(*lists.Lists); is {
		h.Routes(active.Routes)
	}
	if h.Jobs != nil {
		w.people.open(h, w.client, &conf)
	}
	if w.friends {
		conf.Friends = friends{w.client}
	}
	guard := w.flood
	guard.Store = h.Store
	h.Callbacks(flood.New(guard).Register)
	h.Callbacks(moderation.New(conf).Register)
	h.Callbacks(moderation.NewNames(conf.Lists, w.client).Register)
	if w.inspector != nil {
		jobs, err := h.Queue()
		if err != nil {
			return err
		}
		files := media.New(media.Config{Store: h.Store, Jobs: jobs, Inspector: w.inspector, IM: w.client, Sends: once.New(h.Store, w.client, nil), Notifier: w.people.strikes.Notifier, Replacement: w.replacement})
		h.Callbacks(files.Register)
		h.Routes(func(mux *http.ServeMux, _ *api.Gate) { files.Routes(mux) })
	}
	return nil
}

// lists are the rule set that was deployed, or where there is a store, the one that
// was activated.
func (w *settings) lists(ctx context.Context, h *wiring.House) (moderation.Lists, error) {
	list := w.list
	if list == nil {
		var err error
		if list, err = fetch(ctx, w.rules); err != nil {
			return nil, fmt.Errorf("MODERATION_RULES: %w", err)
		}
	}
	if h.Store == nil {
		return moderation.Fixed(list), nil
	}
	return lists.New(lists.Config{Store: h.Store, Base: list}), nil
}

// Passages reads the settings for judging texts that are no messages of clients, such
// as robots' answers: by the rule set and the checker that judge messages.
func Passages(s *wiring.Settings) func(context.Context, *wiring.House) (*moderation.Filter, error) {
	w := &settings{}
	w.readList(s.Reader)
	t := readAccount(s.Reader)
	w.readChecker(s.Reader, &t)
	return func(ctx context.Context, h *wiring.House) (*moderation.Filter, error) {
		active, err := w.lists(ctx, h)
		if err != nil {
			return nil, err
		}
		conf := w.conf
		conf.Lists = active
		return moderation.New(conf), nil
	}
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
