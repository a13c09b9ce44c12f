package callback

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

func mustDecode[E Event](t *testing.T, body string) E {
	t.Helper()
	e, err := Decode(commandOf[E](), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return e.(E)
}

func generic(t testing.TB, body []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

func sameJSON(t testing.TB, got, want []byte) {
	t.Helper()
	if !reflect.DeepEqual(generic(t, got), generic(t, want)) {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func TestEventTimeIsANumberOrText(t *testing.T) {
	for _, c := range []struct {
		json string
		want Millis
	}{{`1670574414123`, 1670574414123}, {`"1670574414123"`, 1670574414123}, {`null`, 0}, {`""`, 0}} {
		e := mustDecode[*GroupAfterFull](t, `{"EventTime":`+c.json+`}`)
		if e.EventTime != c.want {
			t.Errorf("EventTime %s is read as %d", c.json, e.EventTime)
		}
	}
	for _, wrong := range []string{`"soon"`, `1.5`, `true`, `{}`, `"1`, `9223372036854775808`} {
		if _, err := Decode("Group.CallbackAfterGroupFull", []byte(`{"EventTime":`+wrong+`}`)); err == nil {
			t.Errorf("EventTime %s was read", wrong)
		}
	}
}

func TestTimes(t *testing.T) {
	if got := Millis(1670574414123).Time(); got.UnixMilli() != 1670574414123 {
		t.Error(got)
	}
	if got := Seconds(1670574414).Time(); got.Unix() != 1670574414 {
		t.Error(got)
	}
	if !Millis(0).Time().IsZero() || !Seconds(0).Time().IsZero() {
		t.Error("no time became 1970")
	}
}

func TestUserIDs(t *testing.T) {
	e := mustDecode[*GroupAfterMemberExit](t, string(sample(t, "Group.CallbackAfterMemberExit")))
	if got := UserIDs(e.ExitMembers); !slices.Equal(got, []string{"jared"}) {
		t.Errorf("%q", got)
	}
}

func TestNumbersAreUnsigned32Bit(t *testing.T) {
	e := mustDecode[*GroupAfterSendMsg](t, `{"Random":2804799576,"MsgSeq":4294967295}`)
	if e.Random != 2804799576 || e.MsgSeq != 4294967295 {
		t.Errorf("read %d and %d", e.Random, e.MsgSeq)
	}
	for text, want := range map[string]uint32{"1.0": 1, `"7"`: 7, "4.294967295e9": 4294967295, "-1": 4294967295, "null": 0, "0e9": 0} {
		if e := mustDecode[*GroupAfterSendMsg](t, `{"MsgSeq":`+text+`}`); e.MsgSeq != want {
			t.Errorf("MsgSeq %s is read as %d", text, e.MsgSeq)
		}
	}
	for _, wrong := range []string{"4294967296", "-2147483649", "1.5", "1e99", `"seven"`, `""`, "true", "[7]"} {
		_, err := Decode("Group.CallbackAfterSendMsg", []byte(`{"MsgSeq":`+wrong+`}`))
		if !errors.Is(err, ErrWrongType) {
			t.Errorf("MsgSeq %s: %v", wrong, err)
		}
	}
}

// A field that IM left out is not one that it sent empty.
func TestAbsentIsNotEmpty(t *testing.T) {
	e := mustDecode[*GroupAfterInfoChanged](t, `{"Name":""}`)
	if e.Name == nil || *e.Name != "" || e.Notification != nil {
		t.Errorf("read %+v", e)
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	var many strings.Builder
	for n := range maxFields + 1 {
		many.WriteString(`"f` + strings.Repeat("x", n) + `":0,`)
	}
	for _, c := range []struct {
		body string
		want error
	}{
		{``, ErrNotObject},
		{`null`, ErrNotObject},
		{`[]`, ErrNotObject},
		{`{"GroupId":"g"`, ErrNotObject},
		{`{"GroupId":"g"} {}`, ErrNotObject},
		{`{"GroupId":"g",}`, ErrNotObject},
		{"{\"GroupId\":\"\x00\"}", ErrNotObject},
		{`{"X":` + deep + `}`, ErrNotObject},
		{`{` + many.String() + `"last":0}`, ErrNotObject},
		{`{"GroupId":true}`, ErrWrongType},
		{`{"GroupId":["g"]}`, ErrWrongType},
		{`{"GroupId":"g","GroupId":"h"}`, ErrRepeatedField},
		{`{"GroupId":"g","groupid":"h"}`, ErrRepeatedField},
		{`{"GroupId":"g","\u0047roupId":"h"}`, ErrRepeatedField},
		{`{"MsgBody":[{"MsgType":"a","MsgType":"b"}]}`, ErrRepeatedField},
	} {
		_, err := Decode("Group.CallbackAfterSendMsg", []byte(c.body))
		if !errors.Is(err, c.want) {
			t.Errorf("%.60s: %v, want %v", c.body, err, c.want)
		}
	}
}

// TestABeforeCallbackIsReadAsFarAsItCanBe: IM delivers a message that gets no
// verdict, so one odd field must not keep rules from the rest.
func TestABeforeCallbackIsReadAsFarAsItCanBe(t *testing.T) {
	const texts = `"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"read me"}}]`
	for body, unread := range map[string][]string{
		`{"Random":1.23e3,` + texts + `}`:                        nil,
		`{"Random":-5,` + texts + `}`:                            nil,
		`{"Random":"77",` + texts + `}`:                          nil,
		`{"From_Account":4711,` + texts + `}`:                    nil,
		`{"EventTime":1.670574414123e12,` + texts + `}`:          nil,
		`{"Random":{"a":1},` + texts + `}`:                       {"Random"},
		`{"Random":1e99,"GroupId":[],` + texts + `}`:             {"Random", "GroupId"},
		`{` + texts + `,"EventTime":"soon","OnlineOnlyFlag":""}`: {"EventTime", "OnlineOnlyFlag"},
	} {
		e := mustDecode[*GroupBeforeSendMsg](t, body)
		if !slices.Equal(e.unread, unread) || e.MsgBody.PlainText() != "read me" {
			t.Errorf("%s: unread %q, text %q", body, e.unread, e.MsgBody.PlainText())
		}
	}
	if e := mustDecode[*GroupBeforeSendMsg](t, `{"From_Account":4711}`); e.From != "4711" {
		t.Errorf("a number is read as %q", e.From)
	}
}

// TestContentsOfAnyFormReachRules: what is no list of elements is contents all
// the same.
func TestContentsOfAnyFormReachRules(t *testing.T) {
	for body, want := range map[string]im.MsgBody{
		`[{"MsgType":"TIMTextElem","MsgContent":"bare text"}]`: {{MsgType: "TIMTextElem", MsgContent: json.RawMessage(`"bare text"`)}},
		`[{"MsgType":7,"MsgContent":{"a":"b"}}]`:               {{MsgType: "7", MsgContent: json.RawMessage(`{"a":"b"}`)}},
		`[{"MsgType":{},"MsgContent":{"a":"b"}}]`:              {{MsgContent: json.RawMessage(`{"a":"b"}`)}},
		`["text",null]`: {{MsgContent: json.RawMessage(`"text"`)}, {}},
		`"text"`:        {{MsgContent: json.RawMessage(`"text"`)}},
		`{"Text":"x"}`:  {{MsgContent: json.RawMessage(`{"Text":"x"}`)}},
	} {
		for _, command := range []string{beforeSend, afterSend} {
			e, err := Decode(command, []byte(`{"MsgBody":`+body+`}`))
			if err != nil {
				t.Fatal(err)
			}
			got := reflect.ValueOf(e).Elem().FieldByName("MsgBody").Interface()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: read %s", body, got)
			}
		}
	}
}

// NUL is a character like any other once it is escaped as JSON wants it.
func TestEscapedNULIsText(t *testing.T) {
	e := mustDecode[*GroupAfterFull](t, `{"GroupId":"a\u0000b"}`)
	if e.GroupID != "a\x00b" {
		t.Errorf("read %q", e.GroupID)
	}
}

const strange = `{"CallbackCommand":"Group.CallbackBeforeSendMsg","New":{"a":[1,{"b":null}]},"GroupId":"g","Type":"Work",
 "Random":2804799576,"EventTime":"1670574414123","Big":12345678901234567890.5e-3,
 "MsgBody":[{"MsgType":"TIMHologramElem","MsgContent":{"Beams":[1,2]},"ElemSeq":7},
  {"MsgType":"TIMTextElem","MsgContent":{"Text":"<a> & b","Lang":"de"},"ElemSeq":8}]}`

func TestUnchangedEventsEncodeAsTheyCame(t *testing.T) {
	e := mustDecode[*GroupBeforeSendMsg](t, strange)
	got, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strange {
		t.Errorf("encoded as\n%s", got)
	}
}

func TestChangesKeepEverythingElse(t *testing.T) {
	e := mustDecode[*GroupBeforeSendMsg](t, strange)
	e.MsgBody = im.MsgBody{e.MsgBody[1], e.MsgBody[0]}
	e.MsgBody[0].MsgContent = json.RawMessage(`{"Text":"<***>"}`)
	e.CloudCustomData = "checked"
	e.TopicID = "t"
	e.Type = ""
	got, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	// The hologram is kept as it came, wherever it is now.
	sameJSON(t, got, []byte(`{"CallbackCommand":"Group.CallbackBeforeSendMsg","New":{"a":[1,{"b":null}]},"GroupId":"g","Type":"",
 "Random":2804799576,"EventTime":"1670574414123","Big":12345678901234567890.5e-3,
 "MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"<***>"},"ElemSeq":7},
  {"MsgType":"TIMHologramElem","MsgContent":{"Beams":[1,2]},"ElemSeq":7}],"CloudCustomData":"checked","TopicId":"t"}`))
	if !bytes.Contains(got, []byte("<***>")) {
		t.Error("what needs no escape was escaped, and takes six times its bytes")
	}
}

func TestNestedChangesKeepUnknownFields(t *testing.T) {
	e := mustDecode[*GroupAfterCreate](t, `{"MemberList":[{"Member_Account":"a","Role":"x"},{"Member_Account":"b","Role":"y"}]}`)
	e.MemberList[1].UserID = "c"
	got, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, got, []byte(`{"MemberList":[{"Member_Account":"a","Role":"x"},{"Member_Account":"c","Role":"y"}]}`))
	e.MemberList = e.MemberList[:1]
	if got, err = Encode(e); err != nil {
		t.Fatal(err)
	}
	sameJSON(t, got, []byte(`{"MemberList":[{"Member_Account":"a","Role":"x"}]}`))
}

// A field that the body lacked, and that its type writes even when empty, is
// added when it gets a value and not before.
func TestAbsentFieldsAppearOnlyWhenSet(t *testing.T) {
	e := mustDecode[*GroupAfterCreate](t, `{"GroupId":"g"}`)
	e.Name = "n"
	got, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, got, []byte(`{"GroupId":"g","Name":"n"}`))
}

func TestEventsMadeHereEncode(t *testing.T) {
	made := &BotOnGroupMessage{Base: Base{CallbackCommand: "Bot.OnGroupMessage"}, GroupID: "g", Type: im.Meeting, MsgBody: im.Text("hi")}
	body, err := Encode(made)
	if err != nil {
		t.Fatal(err)
	}
	got := mustDecode[*BotOnGroupMessage](t, string(body))
	if got.GroupID != "g" || got.Type.Normal() != im.Meeting || got.MsgBody.PlainText() != "hi" {
		t.Errorf("made %+v, read %+v", made, got)
	}
}
