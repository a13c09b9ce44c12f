package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/backchannel-im/backchannel/shared/im"
)

const botHelp = `
Makes a chatbot's account, or brings an existing one up to date: its nick, its
face and what it says about itself. ROBOT starts with @RBT#. Doing so again does
no harm. An app has at most 20 robots, and one that was deleted still counts.
Without -nick and the others, what is there stays.

  imctl bot ensure '@RBT#001' -nick Robo -about "I answer questions about your order"

SECRET in the environment is the app's key.`

func bot(ctx context.Context, t *tool, args []string) error {
	f := t.flags(botHelp)
	conf := restFlags(f)
	nick := f.String("nick", "", "what it is called")
	face := f.String("face", "", "`URL` of its picture")
	about := f.String("about", "", "what it says about itself, at most 500 bytes")
	rest, err := t.parse(f, args, 2, 2)
	if err != nil {
		return err
	}
	if rest[0] != "ensure" {
		fmt.Fprintf(t.errs, "usage: imctl %s\n", t.usage)
		return errUsage
	}
	c, err := conf.client(t.getenv, 1)
	if err != nil {
		return err
	}
	before, err := c.Robots(ctx)
	if err != nil {
		return err
	}
	if err := c.CreateRobot(ctx, im.Robot{UserID: rest[1], Nick: *nick, FaceURL: *face, SelfSignature: *about}); err != nil {
		return err
	}
	what := "made"
	if slices.Contains(before, rest[1]) {
		what = "brought up to date"
	}
	fmt.Fprintf(t.out, "%s %s\n", rest[1], what)
	return nil
}
