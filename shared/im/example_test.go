package im_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// A team is made under an id of our own, so that making it again does no harm.
func ExampleClient_CreateGroup() {
	emulator := imtest.NewServer(imtest.Options{})
	defer emulator.Close()
	emulator.AddApp(imtest.AppConfig{SDKAppID: appID, Key: key})
	web := httptest.NewServer(emulator)
	defer web.Close()
	client, err := im.NewClient(im.Config{Domain: web.URL, SDKAppID: appID, Key: key, Admin: admin})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	team := im.NewGroup{Type: im.Public, GroupID: "team_42", Name: im.CutText("Das Team mit dem längsten Namen", im.MaxGroupName), Owner: "ann"}
	_, err = client.CreateGroup(ctx, team)
	fmt.Println("unknown owner:", errors.Is(err, im.CodeMemberUnknown), im.ClassOf(err))

	if err := client.ImportAccount(ctx, im.Account{UserID: "ann"}); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		created, err := client.CreateGroup(ctx, team)
		fmt.Println(created.GroupID, created.Existed, err)
	}
	// Output:
	// unknown owner: true account
	// team_42 false <nil>
	// team_42 true <nil>
}
