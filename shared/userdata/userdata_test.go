package userdata_test

import (
	"fmt"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

func TestUserdata(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{{Name: "ExportAndErase", Run: testExportAndErase}, {Name: "Many", Long: true, Run: testMany}})
}

var sources = []userdata.Source{
	{Feature: "inbox", Of: func(id string) userdata.Holding {
		return userdata.Holding{Places: []userdata.Place{{Partition: "inbox/" + id}}}
	}},
	{Feature: "wallet", Of: func(id string) userdata.Holding {
		return userdata.Holding{Places: []userdata.Place{{Partition: "wallet/" + id, Keep: "books of account"}}}
	}},
	{Feature: "shared", Of: func(id string) userdata.Holding {
		return userdata.Holding{Places: []userdata.Place{{Partition: "shared", Prefix: "of/" + id + "/"}}, Elsewhere: "counts of rooms"}
	}},
}

func testExportAndErase(t *testing.T, store kv.Store, _ *kvtest.Clock) {
	put := func(partition, key, value string) {
		t.Helper()
		if err := store.Commit(t.Context(), partition, kv.NewOp("test"), kv.Put{Key: key, Value: []byte(value), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"alice", "bob"} {
		for i := range 7 {
			put("inbox/"+user, fmt.Sprintf("m/%d", i), fmt.Sprintf(`{"n":%d}`, i))
		}
		put("wallet/"+user, "account", `{"balance":7}`)
		put("shared", "of/"+user+"/x", "no JSON")
	}
	all := func(user string, limit int) (records []userdata.Record) {
		t.Helper()
		for after := ""; ; {
			page, err := userdata.Export(t.Context(), store, sources, user, after, limit)
			if err != nil || len(page.Records) > limit {
				t.Fatalf("%d records, %v", len(page.Records), err)
			}
			records = append(records, page.Records...)
			if after = page.Next; after == "" {
				return records
			}
		}
	}
	for _, limit := range []int{1, 3, 7, 8, 9, 100} {
		if got := all("alice", limit); len(got) != 9 || got[7].Feature != "wallet" || got[8].Value != "no JSON" {
			t.Errorf("in pages of %d: %v", limit, got)
		}
	}
	if _, err := userdata.Export(t.Context(), store, sources, "alice", "9.x", 10); err == nil {
		t.Error("a page that there is not")
	}
	for round := range 2 { // erasing may be repeated
		done, err := userdata.Erase(t.Context(), store, sources, "alice")
		want := 8
		if round > 0 {
			want = 0
		}
		if err != nil || done.Erased != want || done.More || len(done.Kept) != 2 {
			t.Errorf("%+v, %v", done, err)
		}
	}
	if got := all("alice", 100); len(got) != 1 || got[0].Feature != "wallet" {
		t.Errorf("what stays: %v", got)
	}
	if got := all("bob", 100); len(got) != 9 {
		t.Errorf("bob has lost records: %v", got)
	}
}

// testMany: more than one call erases.
func testMany(t *testing.T, store kv.Store, _ *kvtest.Clock) {
	for i := range 600 {
		if err := store.Commit(t.Context(), "inbox/carol", kv.NewOp("test"), kv.Put{Key: fmt.Sprintf("m/%04d", i), Value: []byte("{}"), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	for more := true; more; calls++ {
		done, err := userdata.Erase(t.Context(), store, sources, "carol")
		if err != nil || calls > 3 {
			t.Fatal(err)
		}
		more = done.More
	}
	left, err := userdata.Export(t.Context(), store, sources, "carol", "", 100)
	if err != nil || len(left.Records) != 0 || calls < 2 {
		t.Errorf("%d records left after %d calls, %v", len(left.Records), calls, err)
	}
}
