package im_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

var accountRows = []row{
	{
		command: "im_open_login_svc/account_import", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ImportAccount(ctx, im.Account{UserID: "alice", Nick: "Alice & Co", FaceURL: "https://example.com/a.png"}))
		},
	},
	{
		command: "im_open_login_svc/account_import", name: "bare",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ImportAccount(ctx, im.Account{UserID: "alice"}))
		},
	},
	{
		command: "im_open_login_svc/account_import", name: "deleted", err: im.CodeAccountDeleted,
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return done(c.ImportAccount(ctx, im.Account{UserID: "alice"}))
		},
	},
	{
		command: "im_open_login_svc/multiaccount_import", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.ImportAccounts(ctx, []im.Account{{UserID: "alice", Nick: "Alice"}, {UserID: "bob", FaceURL: "https://example.com/b.png"}})
		},
		want: im.Imported{Done: 2, Failed: []string{"bob"}},
	},
	{
		command: "im_open_login_svc/account_check", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.CheckAccounts(ctx, []string{"alice", "bob", "eve"})
		},
		want: []im.AccountCheck{
			{UserID: "alice", Imported: true},
			{UserID: "bob"},
			{UserID: "eve", Code: im.CodeAccountUnknown, Info: "Err_TLS_PT_Open_Login_Account_Not_Exist"},
		},
	},
	{
		command: "im_open_login_svc/account_delete", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.DeleteAccounts(ctx, []string{"alice", "bob"})
		},
		want: []im.ItemResult{
			{ID: "alice"},
			{ID: "bob", Code: im.CodeAccountUnknown, Info: "Err_TLS_PT_Open_Login_Account_Not_Exist"},
		},
	},
	{
		command: "im_open_login_svc/account_delete", name: "plan", err: im.ClassAccount,
		call: func(ctx context.Context, c *im.Client) (any, error) {
			return c.DeleteAccounts(ctx, []string{"alice"})
		},
		want: []im.ItemResult(nil),
	},
	{
		command: "im_open_login_svc/kick", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.Kick(ctx, "alice")) },
	},
	{
		command: "im_open_login_svc/kick", name: "unknown", err: im.CodeAccountUnknown,
		call: func(ctx context.Context, c *im.Client) (any, error) { return done(c.Kick(ctx, "alice")) },
	},
	{
		command: "openim/query_online_status", name: "plain",
		call: func(ctx context.Context, c *im.Client) (any, error) {
			states, failed, err := c.QueryOnlineStatus(ctx, []string{"alice", "bob", "eve"})
			return []any{states, failed}, err
		},
		want: []any{
			[]im.OnlineStatus{
				{UserID: "alice", Status: im.Online, Detail: []im.DeviceStatus{{Platform: "iPhone", Status: im.PushOnline}, {Platform: "Web", Status: im.Online}}},
				{UserID: "bob", Status: im.Offline},
			},
			[]im.ItemResult{{ID: "eve", Code: im.CodeAccountUnknown}},
		},
	},
}

// users are n UserIDs.
func users(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("user%d", i)
	}
	return ids
}

// When a later call of several fails, the result says how far it came.
func TestImportComesAsFarAsItSays(t *testing.T) {
	f := newFake(t, newClock())
	f.replies(reply{body: `{"ActionStatus":"OK","ErrorCode":0,"FailAccounts":["user3"]}`}, reply{}, code(70398, "no more accounts"))
	var accounts []im.Account
	for _, id := range users(350) {
		accounts = append(accounts, im.Account{UserID: id})
	}
	got, err := f.client().ImportAccounts(ctx(t), accounts)
	only(t, err, im.ClassAccount)
	if got.Done != 200 || !slices.Equal(got.Failed, []string{"user3"}) {
		t.Errorf("got %+v", got)
	}
	if sent := f.requests(); len(sent) != 3 || strings.Count(sent[1].body, "UserID") != 100 || !strings.Contains(sent[1].body, `"user100"`) {
		t.Errorf("%d requests, the second %s", len(sent), sent[1].body)
	}
}

// So it is with questions: what was answered is returned.
func TestChecksComeAsFarAsTheyCan(t *testing.T) {
	f := newFake(t, newClock())
	f.replies(reply{body: `{"ActionStatus":"OK","ErrorCode":0,"ResultItem":[{"UserID":"user0","ResultCode":0,"AccountStatus":"Imported"}]}`}, code(60010, "no admin"))
	got, err := f.client().CheckAccounts(ctx(t), users(101))
	only(t, err, im.ClassConfiguration)
	if len(got) != 1 || !got[0].Imported {
		t.Errorf("got %+v", got)
	}
	if none, err := f.client().CheckAccounts(ctx(t), nil); none != nil || err != nil || len(f.requests()) != 2 {
		t.Errorf("nothing asked: %v, %v, %d requests", none, err, len(f.requests()))
	}
}

func TestAccountsThatIMWouldRefuse(t *testing.T) {
	f := newFake(t, newClock())
	for field, a := range map[string]im.Account{
		"UserID":  {UserID: strings.Repeat("x", 33)},
		"Nick":    {UserID: "x", Nick: strings.Repeat("é", 251)},
		"FaceUrl": {UserID: "x", FaceURL: "\xff"},
	} {
		refused(t, f.client().ImportAccount(ctx(t), a), field)
		_, err := f.client().ImportAccounts(ctx(t), []im.Account{{UserID: "fine"}, a})
		refused(t, err, field)
	}
	refused(t, f.client().Kick(ctx(t), ""), "UserID")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}
