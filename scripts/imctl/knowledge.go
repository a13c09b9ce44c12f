package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"github.com/backchannel-im/backchannel/shared/bot/knowledge"
)

const knowledgeHelp = `
Compiles a folder of Markdown into an image that chatbots search, and activates
images without a deployment. Set BOT_KNOWLEDGE to the image, or upload it and stage
its URL with the checksum that compile prints. A staged image is first a candidate
for a share of the groups; running functions apply a change within half a minute.

Without arguments, shows the active image. -ask prints the search results of a folder
or an image for a question.

  imctl knowledge compile help/ -o help.image
  imctl knowledge compile help/ -o help.image -ask "how long can I send it back?"
  imctl knowledge stage https://files.example.com/help.image#sha256=6f1e... -share 10
  imctl knowledge promote
  imctl knowledge rollback`

func knowledgeOf(ctx context.Context, t *tool, args []string) error {
	f := t.flags(knowledgeHelp)
	at := t.serverFlags(f)
	share := f.Int("share", 100, "`percent` of the groups that use the candidate")
	out := f.String("o", "", "`file` to which compile writes the image")
	ask := f.String("ask", "", "`question` that compile looks up in the compiled pages")
	rest, err := t.parse(f, args, 0, 2)
	if err != nil {
		return err
	}
	if len(rest) == 0 || rest[0] != "compile" {
		return release(ctx, t, at, "/bots/knowledge", *share, rest)
	}
	if len(rest) != 2 || *out == "" && *ask == "" {
		fmt.Fprintln(t.errs, "usage: imctl knowledge compile DIR -o FILE")
		return errUsage
	}
	return t.compileKnowledge(rest[1], *out, *ask)
}

func (t *tool) compileKnowledge(folder, out, ask string) error {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return errors.New("there is no folder " + folder)
	}
	image, err := knowledge.Compile(os.DirFS(folder))
	if err != nil {
		return err
	}
	base, err := knowledge.Open(string(image))
	if err != nil {
		return err
	}
	if out != "" {
		if err := os.WriteFile(out, image, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%v, %d bytes\n#sha256=%x\n", base, len(image), sha256.Sum256(image))
	}
	if ask != "" {
		for _, h := range base.Search(ask, 3) {
			fmt.Fprintf(t.out, "%5.2f  %s  %s\n", h.Score, h.Address(), h.Title())
		}
	}
	return nil
}
