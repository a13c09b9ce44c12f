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
Compiles a folder of Markdown into an image that chatbots search, and puts images
into force without a deployment. Give the image to BOT_KNOWLEDGE, or upload it and
name it by its URL and checksum as compile prints it. It is a candidate for a share
of the groups first; running functions take up a change within half a minute.

Without a word, shows what is in force. -ask shows what a folder or an image answers
to a question.

  imctl knowledge compile help/ -o help.image
  imctl knowledge compile help/ -o help.image -ask "how long can I send it back?"
  imctl knowledge stage https://files.example.com/help.image#sha256=6f1e... -share 10
  imctl knowledge promote
  imctl knowledge rollback`

func knowledgeOf(ctx context.Context, t *tool, args []string) error {
	f := t.flags(knowledgeHelp)
	at := t.serverFlags(f)
	share := f.Int("share", 100, "`percent` of the groups that a candidate serves")
	out := f.String("o", "", "`file` that compile writes the image to")
	ask := f.String("ask", "", "`question` that compile looks up in what it has compiled")
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
