package callback

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/callback/samples"
)

// sample is the printed body of a command.
func sample(t testing.TB, command string) []byte {
	t.Helper()
	body, found := samples.Body(command)
	if !found {
		t.Fatalf("%s has no sample", command)
	}
	return body
}

func TestEveryCommandHasASample(t *testing.T) {
	if have, want := samples.Commands(), slices.Sorted(maps.Keys(table())); !slices.Equal(have, want) {
		t.Errorf("samples are of\n%q, the table has\n%q", have, want)
	}
}

// A sample holds no field that its type does not know, or a misspelt tag would
// pass for an absent field.
func TestSamplesDecodeInFull(t *testing.T) {
	for command, entry := range table() {
		body := sample(t, command)
		e, err := Decode(command, body)
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		strict := entry.make()
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(strict); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		e.base().raw, e.base().Query = nil, Query{}
		if !reflect.DeepEqual(e, strict) {
			t.Errorf("%s: read\n%+v, encoding/json reads\n%+v", command, e, strict)
		}
		if !entry.nameless && e.Command() != command {
			t.Errorf("the sample of %s is one of %s", command, e.Command())
		}
	}
}

// Every event is either asked or told, as its name says: what IM calls Before
// and Prev expects a verdict.
func TestKindsFollowTheNames(t *testing.T) {
	for command, entry := range table() {
		asks := strings.Contains(command, ".CallbackBefore") || strings.Contains(command, ".CallbackPrev")
		if asks != (entry.kind == before) {
			t.Errorf("%s has the wrong kind", command)
		}
		if _, told := entry.make().(AfterEvent); told == asks {
			t.Errorf("%s: its type can be registered as the other kind", command)
		}
	}
}

func TestRegistrationFindsTheCommand(t *testing.T) {
	if got := commandOf[*GroupAfterSendMsg](); got != "Group.CallbackAfterSendMsg" {
		t.Errorf("GroupAfterSendMsg is %s", got)
	}
	for _, ambiguous := range []func() string{commandOf[AfterEvent], commandOf[Event], commandOf[*Unknown]} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a type of no or many commands was accepted")
				}
			}()
			ambiguous()
		}()
	}
}
