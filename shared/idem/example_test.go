package idem_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
)

// A caller who heard nothing asks again, and gets the answer of the first time.
func Example() {
	dir, err := os.MkdirTemp("", "idem")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := boltkv.Open(filepath.Join(dir, "state"), boltkv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	keeper := idem.New(store, nil)

	ask := func(body string) {
		answer, replayed, err := keeper.Do(context.Background(), "server shop, POST /mail", "order-7", sha256.Sum256([]byte(body)),
			func(context.Context) ([]byte, error) {
				fmt.Println("sending")
				return []byte("sent"), nil
			})
		if errors.Is(err, idem.ErrOtherRequest) {
			fmt.Println("refused:", err)
			return
		}
		fmt.Println(string(answer), replayed, err)
	}
	ask("ten coins")
	ask("ten coins")
	ask("a hundred coins")
	// Output:
	// sending
	// sent false <nil>
	// sent true <nil>
	// refused: this key was used for another request; use a new one: idem: the key belongs to another request
}
