package imtest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// A client pages through what was said, and sees neither what was recalled nor
// what was deleted.
func TestClientHistory(t *testing.T) {
	w := newWorld(t)
	alice, bob := furnish(w)
	for i := range 4 {
		if _, err := alice.Send("team", imtest.Draft{Text: fmt.Sprint("team ", i)}); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.SendTo("bob", imtest.Draft{Text: fmt.Sprint("bob ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	w.do(groups+"group_msg_recall", `{"GroupId":"team","MsgSeqList":[{"MsgSeq":4}]}`)
	w.do(groups+"delete_group_msg_by_sender", `{"GroupId":"team","Sender_Account":"bob"}`)
	w.do("openim/sendmsg", `{"From_Account":"bob","To_Account":"alice","SyncOtherMachine":2,"MsgRandom":1,"MsgBody":`+text("for alice alone")+`}`)

	page, err := bob.History("team", "", 0, 3)
	if err != nil || !slices.Equal(texts(page), []string{"team 3", "", "team 1"}) || !page[1].Recalled {
		t.Errorf("%q, %v", texts(page), err)
	}
	if page, err = bob.History("team", "", page[2].Seq, 3); err != nil || !slices.Equal(texts(page), []string{"team 0"}) {
		t.Errorf("%q, %v", texts(page), err)
	}
	if page, err = bob.History(town, hall, 0, 3); err != nil || !slices.Equal(texts(page), []string{"first"}) {
		t.Errorf("of a topic: %q, %v", texts(page), err)
	}
	if page, err = bob.HistoryWith("alice", "", 2); err != nil || !slices.Equal(texts(page), []string{"bob 3", "bob 2"}) {
		t.Errorf("with alice: %q, %v", texts(page), err)
	}
	if page, err = bob.HistoryWith("alice", page[1].Key, 9); err != nil || !slices.Equal(texts(page), []string{"bob 1", "bob 0", "first"}) {
		t.Errorf("with alice: %q, %v", texts(page), err)
	}
	if page, err = alice.HistoryWith("bob", "", 1); err != nil || !slices.Equal(texts(page), []string{"for alice alone"}) {
		t.Errorf("with bob: %q, %v", texts(page), err)
	}

	carol := w.login("carol")
	_, live := bob.History("live", "", 0, 1)
	_, nowhere := bob.History("nowhere", "", 0, 1)
	_, noTopic := bob.History("team", "x", 0, 1)
	_, stranger := carol.History("team", "", 0, 1)
	_, nobody := carol.HistoryWith("nobody", "", 1)
	carol.Logout()
	w.clock.Advance(time.Second)
	_, out := carol.History("team", "", 0, 1)
	_, outWith := carol.HistoryWith("bob", "", 1)
	for i, want := range []int{10007, 10010, 10004, 10007, 90003, 6014, 6014} {
		if err := []error{live, nowhere, noTopic, stranger, nobody, out, outWith}[i]; imtest.Code(err) != want {
			t.Errorf("case %d: %v, want %d", i, err, want)
		}
	}
}
