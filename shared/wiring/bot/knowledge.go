package bot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/bot"
	"github.com/backchannel-im/backchannel/shared/bot/knowledge"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/moderation/lists"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// images are the folders that robots know, compiled, and put into force as rule sets
// are.
var images = lists.Kind[knowledge.Base]{
	Name: "knowledge", Partition: "bot/knowledge", Path: "/bots/knowledge", Open: knowledge.Open, Version: (*knowledge.Base).Version,
}

// known is what BOT_KNOWLEDGE says.
type known struct {
	given bool
	base  *knowledge.Base
	ref   string // where it is to be fetched
}

func readKnowledge(set *config.Reader) (k known) {
	const name = "BOT_KNOWLEDGE"
	text := set.Text(config.Setting{
		Name: name, Meaning: "pages that robots search and cite, until others are activated; robots search nothing without this setting",
		Format: "path of an image that imctl knowledge compile made, https://HOST/PATH#sha256=HEX, or in a plain process the path of a folder of Markdown",
	})
	k.given = text != ""
	switch {
	case text == "":
	case strings.Contains(text, "://"):
		if _, err := lists.ParseRef(text); err != nil {
			set.Fault(name, "%v", err)
		}
		k.ref = text
	default:
		base, err := readBase(text)
		if err != nil {
			set.Fault(name, "%v; compile a folder with: go run ./scripts/imctl knowledge compile DIR -o FILE", err)
		}
		k.base = base
	}
	return k
}

func readBase(name string) (*knowledge.Base, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, errors.New("there is no such file or folder")
	}
	var image []byte
	if info.IsDir() {
		image, err = knowledge.Compile(os.DirFS(name))
	} else {
		image, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, err
	}
	return knowledge.Open(string(image))
}

// fetchFor bounds what a start waits for an image that lies elsewhere.
const fetchFor = 10 * time.Second

// open returns what robots know, nil for nothing.
func (k known) open(ctx context.Context, h *wiring.House) (bot.Knowledge, error) {
	if !k.given {
		return nil, nil
	}
	base := k.base
	if base == nil {
		ref, err := lists.ParseRef(k.ref)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, fetchFor)
		defer cancel()
		image, err := lists.Fetch(ctx, ref)
		if err == nil {
			base, err = knowledge.Open(image)
		}
		if err != nil {
			return nil, fmt.Errorf("BOT_KNOWLEDGE: %w", err)
		}
	}
	active := lists.NewOf(images, base, lists.Config{Store: h.Store})
	h.Routes(active.Routes)
	return active, nil
}
