package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/backchannel-im/backchannel/shared/im"
)

const botHelp = `
Creates a chatbot's account, or updates the nick, face and self-description of
an existing one. ROBOT starts with @RBT#. The command may be repeated. An app has
at most 20 robots, and deleted ones count. Without -nick and the other flags an
existing account does not change.

  imctl bot ensure '@RBT#001' -nick Robo -about "I answer questions about your order"

SECRET in the environment is the app's key.`

func bot(ctx context.Context, t *tool, args []string) error {
	f := t.flags(botHelp)
	conf := restFlags(f)
	nick := f.String("nick", "", "nickname of the robot")
	face := f.String("face", "", "`URL` of the robot's picture")
	about := f.String("about", "", "self-description of the robot, at most 500 bytes")
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
