package moderation_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/callback"
	"github.com/backchannel-im/backchannel/shared/moderation"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
)

const rules = `{"version":"test","words":[
	{"text":"casino","category":"gambling","severity":3},
	{"text":"赌场","category":"gambling"},
	{"text":"damn","category":"abuse","action":"mask"},
	{"text":"buy followers","category":"spam","action":"drop"},
	{"text":"meet me","category":"contact","action":"review"},
	{"text":"rumour","category":"news","action":"shadow"}],
	"scopes":{
		"c2c":{"contact":"allow"},
		"type:AVChatRoom":{"gambling":"drop"},
		"room:@TGS#poker":{"gambling":"allow","*":"mask"},
		"topic:@TGS#_c@TOPIC#_t":{"abuse":"reject"}}}`

// compiled is the rule set above.
var compiled = sync.OnceValue(func() *wordlist.List {
	set, err := compile.Parse([]byte(rules))
	if err != nil {
		panic(err)
	}
	image, err := compile.Compile(set)
	if err != nil {
		panic(err)
	}
	l, err := wordlist.Open(string(image))
	if err != nil {
		panic(err)
	}
	return l
})

// ask asks a filter as IM does and returns its answer.
type ask func(t testing.TB, e callback.Event) answer

type answer struct {
	ErrorCode       int
	ErrorInfo       string
	MsgBody         json.RawMessage
	CloudCustomData *string
}

func newFilter(t testing.TB, c moderation.Config) ask {
	t.Helper()
	if c.Lists == nil {
		c.Lists = moderation.Fixed(compiled())
	}
	mux := callback.NewMux()
	moderation.New(c).Register(mux)
	endpoint, err := callback.NewEndpoint(callback.Config{SDKAppID: 1, Token: "t", Mux: mux})
	if err != nil {
		t.Fatal(err)
	}
	return func(t testing.TB, e callback.Event) answer {
		t.Helper()
		body, err := callback.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		r, err := callback.Signer{SDKAppID: 1, Token: "t"}.Request(context.Background(), "http://filter.invalid/im", "", body)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r)
		var a answer
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
		return a
	}
}

func talk(body im.MsgBody) *callback.C2CBeforeSendMsg {
	return &callback.C2CBeforeSendMsg{
		Base: callback.Base{CallbackCommand: "C2C.CallbackBeforeSendMsg"}, From: "jane", To: "joe", MsgRandom: 1, MsgSeq: 2, MsgBody: body,
	}
}

func say(groupID string, kind im.GroupType, body im.MsgBody) *callback.GroupBeforeSendMsg {
	return &callback.GroupBeforeSendMsg{
		Base: callback.Base{CallbackCommand: "Group.CallbackBeforeSendMsg"}, GroupID: groupID, Type: kind, From: "jane", Random: 1, MsgBody: body,
	}
}

func element(kind, content string) im.MsgBody {
	return im.MsgBody{{MsgType: kind, MsgContent: json.RawMessage(content)}}
}

// relayed wraps a text element's content in relays of relays.
func relayed(times int, content string) string {
	kind := im.TextElem
	for range times {
		content, kind = fmt.Sprintf(`{"MsgList":[{"MsgBody":[{"MsgType":%q,"MsgContent":%s}]}]}`, kind, content), im.RelayElem
	}
	return content
}

func TestVerdicts(t *testing.T) {
	ask := newFilter(t, moderation.Config{})
	for _, tt := range []struct {
		name string
		body im.MsgBody
		code int
	}{
		{"clean", im.Text("good evening"), 0},
		{"a word", im.Text("join my casino now"), 1},
		{"disguised", im.Text("C.A.S.I.N.O"), 1},
		{"a content that is bare text", element(im.TextElem, `"join my casino now"`), 1},
		{"a type nobody knows", element("TIMHologramElem", `{"Beams":["x",{"caption":"join my casino now"}]}`), 1},
		{"a type nobody knows, clean", element("TIMHologramElem", `{"Beams":["x",{"caption":"good evening"}]}`), 0},
		{"no type at all", element("", `["join my casino now"]`), 1},
		{"chinese", im.Text("来我的赌场吧"), 1},
		{"dropped", im.Text("Buy followers here"), 2},
		{"severest of several", im.Text("damn, buy followers or come to the casino"), 1},
		{"watched only", im.Text("a rumour"), 0},
		{"in the second element", append(im.Text("hello"), im.Text("casino")...), 1},
		{"in a custom element", im.Custom(`{"note":"casino"}`, "", ""), 1},
		{"in a custom element's description", im.Custom("{}", "casino", ""), 1},
		{"in custom data that is no JSON", im.Custom("to the casino", "", ""), 1},
		{"escaped within custom data", im.Custom(`{"note":"\u8d4c\u573a"}`, "", ""), 1},
		{"a field's name within custom data", im.Custom(`{"casino":1}`, "", ""), 0},
		{"JSON within JSON within custom data", im.Custom(`{"a":"[{\"b\":\"casino\"}]"}`, "", ""), 1},
		{"beside a field of the wrong type", element(im.TextElem, `{"Desc":5,"Text":"casino"}`), 1},
		{"a field given twice", element(im.TextElem, `{"Text":"casino","Text":"hello"}`), 1},
		{"in a place", element(im.LocationElem, `{"Desc":"the casino","Latitude":1.5,"Longitude":-2e3}`), 1},
		{"in a file's name", element(im.FileElem, `{"FileName":"casino.txt","Url":"http://x/y"}`), 1},
		{"in a relayed message", element(im.RelayElem, `{"Title":"t","MsgList":[{"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"casino"}}]}]}`), 1},
		{"relayed again and again", element(im.RelayElem, relayed(40, `{"Text":"casino"}`)), 1},
		{"in a relayed summary", element(im.RelayElem, `{"Title":"t","AbstractList":["a: hi","b: casino"]}`), 1},
		{"streamed", element(im.StreamElem, `{"Chunks":[{"EventType":"data","Markdown":"casino"}]}`), 1},
		{"an element nobody knows", element("TIMTomorrowElem", `{"Text":"casino"}`), 1},
		{"a sender called so", element(im.RelayElem, `{"MsgList":[{"From_Account":"casino","MsgBody":[]}]}`), 0},
		{"a picture", element(im.ImageElem, `{"UUID":"casino","ImageInfoArray":[{"Type":1,"URL":"http://casino/x"}]}`), 0},
		{"a face", element(im.FaceElem, `{"Index":1,"Data":"casino"}`), 0},
		{"an address", im.Text("see https://casino.example.com/"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, e := range []callback.Event{talk(tt.body), say("g", im.Public, tt.body)} {
				if a := ask(t, e); a.ErrorCode != tt.code {
					t.Errorf("%s: ErrorCode %d, want %d", e.Command(), a.ErrorCode, tt.code)
				}
			}
		})
	}
	for _, e := range []callback.Event{
		&callback.GroupBeforeCreate{Base: callback.Base{CallbackCommand: "Group.CallbackBeforeCreateGroup"}, Type: im.Public, Name: "casino"},
		&callback.GroupBeforeCreate{Base: callback.Base{CallbackCommand: "Group.CallbackBeforeCreateGroup"}, Type: im.Public, Name: "damn group"},
		&callback.TopicBeforeCreate{Base: callback.Base{CallbackCommand: "Group.CallbackBeforeCreateTopic"}, Type: im.Community, Name: "meet me"},
	} {
		if a := ask(t, e); a.ErrorCode != 1 {
			t.Errorf("%s: ErrorCode %d, want 1", e.Command(), a.ErrorCode)
		}
	}
	e := &callback.GroupBeforeCreate{Base: callback.Base{CallbackCommand: "Group.CallbackBeforeCreateGroup"}, Type: im.Public, Name: "a rumour club"}
	if a := ask(t, e); a.ErrorCode != 0 {
		t.Errorf("a name that is only watched: ErrorCode %d", a.ErrorCode)
	}
}

// TestScopes: the narrowest scope that says something decides.
func TestScopes(t *testing.T) {
	ask := newFilter(t, moderation.Config{})
	topic := say("@TGS#_c", im.Community, im.Text("damn"))
	topic.TopicID = "@TGS#_c@TOPIC#_t"
	for name, tt := range map[string]struct {
		e         callback.Event
		code      int
		rewritten bool
	}{
		"the rule's own":    {say("g", im.Public, im.Text("casino")), 1, false},
		"type":              {say("g", im.AVRoom, im.Text("casino")), 2, false},
		"room before type":  {say("@TGS#poker", im.AVRoom, im.Text("casino")), 0, false},
		"all else of room":  {say("@TGS#poker", im.AVRoom, im.Text("meet me")), 0, true},
		"one-to-one":        {talk(im.Text("meet me")), 0, false},
		"not of one-to-one": {talk(im.Text("casino")), 1, false},
		"topic":             {topic, 1, false},
		"held without desk": {say("g", im.Public, im.Text("meet me")), 1, false},
	} {
		if a := ask(t, tt.e); a.ErrorCode != tt.code || (a.MsgBody != nil) != tt.rewritten {
			t.Errorf("%s: ErrorCode %d, body %s", name, a.ErrorCode, a.MsgBody)
		}
	}
}

// TestMask: stars for what was hit, wherever it stands, and every other byte as
// it was.
func TestMask(t *testing.T) {
	ask := newFilter(t, moderation.Config{})
	for _, tt := range []struct{ kind, is, want string }{
		{"TIMTextElem", `{"Text":"damn it"}`, `{"Text":"**** it"}`},
		{"TIMTextElem", `{ "Text" : "Ｄａｍｎ <b>it</b> é \ud83d\ude00" , "x":[1, 2.50,null] }`, `{"Text":"**** <b>it</b> é 😀","x":[1,2.50,null]}`},
		{"TIMTextElem", `{"Text":"d a m n"}`, `{"Text":"*******"}`},
		{"TIMCustomElem", `{"Data":"{\"a\":\"damn\",\"b\":[1, \"x\"]}","Desc":"","Ext":"damn","Sound":"damn.aac"}`, `{"Data":"{\"a\":\"****\",\"b\":[1, \"x\"]}","Desc":"","Ext":"****","Sound":"damn.aac"}`},
		{"TIMLocationElem", `{"Desc":"damn place","Latitude":29.340656774469956,"Longitude":116.77497920478824}`, `{"Desc":"**** place","Latitude":29.340656774469956,"Longitude":116.77497920478824}`},
		{"TIMRelayElem", `{"MsgList":[{"From_Account":"damn","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"damn"}}]}]}`, `{"MsgList":[{"From_Account":"damn","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"****"}}]}]}`},
	} {
		for _, e := range []callback.Event{talk(element(tt.kind, tt.is)), say("g", im.Public, element(tt.kind, tt.is))} {
			want := fmt.Sprintf(`[{"MsgType":%q,"MsgContent":%s}]`, tt.kind, tt.want)
			if a := ask(t, e); a.ErrorCode != 0 || string(a.MsgBody) != want {
				t.Errorf("%s: ErrorCode %d, body\n%s, want\n%s", tt.is, a.ErrorCode, a.MsgBody, want)
			}
		}
	}
	e := talk(im.Text("hello"))
	e.CloudCustomData = `{"quote":"damn"}`
	if a := ask(t, e); a.CloudCustomData == nil || *a.CloudCustomData != `{"quote":"****"}` || a.MsgBody != nil {
		t.Errorf("CloudCustomData %v, body %s", a.CloudCustomData, a.MsgBody)
	}
}

func TestCodesAndTexts(t *testing.T) {
	ask := newFilter(t, moderation.Config{C2CCode: 120042, GroupCode: 10142, RefusedText: "not here"})
	for code, e := range map[int]callback.Event{120042: talk(im.Text("casino")), 10142: say("g", im.Public, im.Text("casino"))} {
		if a := ask(t, e); a.ErrorCode != code || a.ErrorInfo != "not here" {
			t.Errorf("%s: %d %q", e.Command(), a.ErrorCode, a.ErrorInfo)
		}
	}
}

func TestEncrypted(t *testing.T) {
	cipher := make([]byte, 96)
	_, _ = rand.Read(cipher)
	secret := base64.StdEncoding.EncodeToString(cipher)
	for policy, code := range map[moderation.Encrypted]int{"": 0, moderation.EncryptedPass: 0, moderation.EncryptedShadow: 0, moderation.EncryptedReject: 1} {
		ask := newFilter(t, moderation.Config{Encrypted: policy})
		for name, tt := range map[string]struct {
			body im.MsgBody
			code int
		}{
			"text":          {im.Text(secret), code},
			"data":          {im.Custom(secret, "", ""), code},
			"within JSON":   {im.Custom(`{"v":1,"ciphertext":"`+secret+`"}`, "", ""), code},
			"beside a word": {append(im.Text("casino"), im.Custom(secret, "", "")...), 1},
			// Who only says so is not encrypted.
			"base64 of a text": {im.Text(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("Good evening 123 ", 6)))), 0},
			"a long word":      {im.Text(strings.Repeat("a", 200)), 0},
			"short":            {im.Text(secret[:40]), 0},
		} {
			if a := ask(t, talk(tt.body)); a.ErrorCode != tt.code {
				t.Errorf("policy %q, %s: ErrorCode %d, want %d", policy, name, a.ErrorCode, tt.code)
			}
		}
	}
}

// TestReadableTextIsNotEncrypted: a sentence joined to one word that looks like
// base64 is judged by the word list, and the policy for ciphertexts is not for it.
func TestReadableTextIsNotEncrypted(t *testing.T) {
	for _, policy := range []moderation.Encrypted{moderation.EncryptedPass, moderation.EncryptedReject} {
		ask := newFilter(t, moderation.Config{Encrypted: policy})
		for text, code := range map[string]int{
			"Come-to-my-casino-tonight-at-9-and-bring-all-of-your-friends-with-you-Jane": 1,
			"Come_to_my_garden_tonight_at_9_and_bring_all_of_your_friends_with_you_Jane": 0,
			"ComeToMyGardenTonightAt9AndBringAllOfYourFriendsWithYouJaneSaidToMe2Times":  0,
			"cOmE-tO-mY-gArDeN-tOnIgHt-At-9-aNd-BrInG-aLl-Of-YoUr-FrIeNdS-wItH-yOu-JaNe": 0,
		} {
			if a := ask(t, talk(im.Text(text))); a.ErrorCode != code {
				t.Errorf("policy %q, %s: ErrorCode %d, want %d", policy, text, a.ErrorCode, code)
			}
		}
	}
}

// TestCiphertextsAreTaken for what they are: hardly any is judged as if somebody
// had written the word that chance wrote, whatever its length, and all are known.
func TestCiphertextsAreTaken(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(23, 11))
	lists := moderation.Fixed(wordlist.Default())
	pass, reject := newFilter(t, moderation.Config{Lists: lists}), newFilter(t, moderation.Config{Lists: lists, Encrypted: moderation.EncryptedReject})
	const all = 4000
	judged, unknown := 0, 0
	for i := range all {
		cipher := make([]byte, 48+random.IntN(600))
		for k := range cipher {
			cipher[k] = byte(random.Uint32())
		}
		encoding := []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding}[i%2]
		body := im.Text(encoding.EncodeToString(cipher))
		if i%4 > 1 {
			body = im.Text(encoding.EncodeToString(enveloped(cipher)))
		}
		if a := pass(t, talk(body)); a.ErrorCode != 0 || a.MsgBody != nil {
			judged++
		}
		if a := reject(t, talk(body)); a.ErrorCode == 0 {
			unknown++
		}
	}
	if judged > all/2000 || unknown > all/2000 {
		t.Errorf("of %d ciphertexts %d are judged by their letters, and %d taken for texts", all, judged, unknown)
	}
}

// enveloped puts data behind an envelope as CMS writes it, with keys for three.
func enveloped(data []byte) []byte {
	der := func(tag byte, content ...[]byte) []byte {
		all := bytes.Join(content, nil)
		return append([]byte{tag, 0x82, byte(len(all) >> 8), byte(len(all))}, all...)
	}
	oid := []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03}
	var keys []byte
	for i := range 3 {
		key := sha512.Sum512(append([]byte{byte(i)}, data...))
		keys = append(keys, der(0xa1, []byte{0x02, 0x01, 0x02}, der(0x04, key[:]), der(0x04, key[32:]))...)
	}
	return append(der(0x30, []byte{0x02, 0x01, 0x00}, der(0x30, oid, der(0xa0, keys))), data...)
}

// TestSplitOverTextElements: clients show text elements side by side, so that a
// word may begin in one and end in another.
func TestSplitOverTextElements(t *testing.T) {
	ask := newFilter(t, moderation.Config{})
	face := element(im.FaceElem, `{"Index":1,"Data":"x"}`)
	for name, tt := range map[string]struct {
		body im.MsgBody
		code int
	}{
		"two halves":             {append(im.Text("join my cas"), im.Text("ino now")...), 1},
		"three parts":            {append(append(im.Text("ca"), im.Text("si")...), im.Text("no")...), 1},
		"a face between":         {append(append(im.Text("赌"), face...), im.Text("场")...), 1},
		"to be masked":           {append(im.Text("da"), im.Text("mn")...), 1},
		"a picture between":      {append(append(im.Text("cas"), element(im.ImageElem, `{}`)...), im.Text("ino")...), 0},
		"an inflection":          {append(im.Text("cas"), im.Text("inos")...), 1},
		"words that touch":       {append(im.Text("my gar"), im.Text("den")...), 0},
		"watched where it stood": {append(im.Text("a rumour"), im.Text(" I heard")...), 0},
		"fields of custom data":  {append(im.Custom("cas", "", ""), im.Custom("ino", "", "")...), 0},
	} {
		if a := ask(t, talk(tt.body)); a.ErrorCode != tt.code {
			t.Errorf("%s: ErrorCode %d, want %d", name, a.ErrorCode, tt.code)
		}
	}
}

// TestUnfinishedTextsAreNotDelivered: what could not be read to its end is refused,
// or held where the policy says so and there is somebody to hold it for.
func TestUnfinishedTextsAreNotDelivered(t *testing.T) {
	costly := strings.Repeat("d4mn c4s1n0 d a m n ", 600)
	clean := strings.Repeat("good evening to everybody ", 2000)
	for name, tt := range map[string]struct {
		text   string
		late   bool
		policy moderation.Unfinished
		holder bool
		held   int
	}{
		"too costly":                 {costly, false, "", true, 0},
		"too costly, to be held":     {costly, false, moderation.UnfinishedReview, true, 1},
		"too costly, nobody holds":   {costly, false, moderation.UnfinishedReview, false, 0},
		"a rule that came too late":  {clean, true, "", true, 0},
		"too late, and to be held":   {clean, true, moderation.UnfinishedReview, true, 1},
		"too late, and nobody holds": {clean, true, moderation.UnfinishedReview, false, 0},
	} {
		h := &holder{}
		c := moderation.Config{Lists: moderation.Fixed(maskOnly()), Unfinished: tt.policy}
		if tt.holder {
			c.Holder = h
		}
		ctx, cancel := context.WithCancel(t.Context())
		if tt.late {
			cancel()
		}
		if refused := moderation.Judge(ctx, moderation.New(c), im.Text(tt.text)); !refused || len(h.held) != tt.held {
			t.Errorf("%s: refused %v, held %d, want %d", name, refused, len(h.held), tt.held)
		}
		cancel()
	}
}

// maskOnly is a list that by itself would refuse nothing.
func maskOnly() *wordlist.List {
	set, err := compile.Parse([]byte(`{"version":"1","words":[{"text":"damn","action":"mask"},{"text":"casino","action":"shadow"}]}`))
	if err != nil {
		panic(err)
	}
	image, err := compile.Compile(set)
	if err != nil {
		panic(err)
	}
	list, err := wordlist.Open(string(image))
	if err != nil {
		panic(err)
	}
	return list
}

// holder keeps messages in memory.
type holder struct {
	held []moderation.Held
	err  error
}

func (h *holder) Hold(_ context.Context, m moderation.Held) error {
	h.held = append(h.held, m)
	return h.err
}

func TestReview(t *testing.T) {
	h := &holder{}
	ask := newFilter(t, moderation.Config{Holder: h, HeldText: "wait"})
	e := say("g", im.Public, im.Text("meet me"))
	e.TopicID, e.MsgPriority, e.CloudCustomData = "t", "High", "data"
	for range 2 {
		if a := ask(t, e); a.ErrorCode != 1 || a.ErrorInfo != "wait" {
			t.Errorf("%d %q", a.ErrorCode, a.ErrorInfo)
		}
	}
	m := h.held[0]
	if m.ID != h.held[1].ID || len(m.ID) != 32 {
		t.Errorf("one message held as %s and %s", m.ID, h.held[1].ID)
	}
	if m.From != "jane" || m.GroupID != "g" || m.TopicID != "t" || m.MsgPriority != "High" || m.CloudCustomData != "data" ||
		m.MsgBody.PlainText() != "meet me" || m.At.IsZero() || len(m.Reasons) != 1 || m.Reasons[0].Category != "contact" {
		t.Errorf("held %+v", m)
	}
	for name, change := range map[string]func(){
		"another text":   func() { e.MsgBody = im.Text("meet me there") },
		"another random": func() { e.Random++ },
		"another sender": func() { e.From = "june" },
		"another group":  func() { e.GroupID = "h" },
	} {
		change()
		ask(t, e)
		if last := h.held[len(h.held)-1].ID; last == h.held[len(h.held)-2].ID {
			t.Errorf("%s is held as the same message", name)
		}
	}
	h.err = errors.New("away")
	if a := ask(t, e); a.ErrorCode != 1 || a.ErrorInfo != moderation.DefaultRefusedText {
		t.Errorf("not held: %d %q", a.ErrorCode, a.ErrorInfo)
	}
}

// checker thinks what a text says.
type checker struct{ asked []moderation.Text }

func (c *checker) Check(ctx context.Context, t moderation.Text) (moderation.Opinion, string, error) {
	c.asked = append(c.asked, t)
	switch {
	case strings.Contains(t.Text, "vile"):
		return moderation.Block, "Abuse", nil
	case strings.Contains(t.Text, "odd"):
		return moderation.Suspect, "Ad", nil
	case strings.Contains(t.Text, "fail"):
		return moderation.NoOpinion, "", errors.New("away")
	case strings.Contains(t.Text, "hang"):
		<-ctx.Done()
		return moderation.NoOpinion, "", ctx.Err()
	case strings.Contains(t.Text, "こんにちは"):
		return moderation.NoOpinion, "", nil
	}
	return moderation.Pass, "Normal", nil
}

func TestChecker(t *testing.T) {
	for _, closed := range []bool{false, true} {
		away := map[bool]int{false: 0, true: 1}[closed]
		for _, tt := range []struct {
			text  string
			code  int
			asked int
		}{
			{"good evening", 0, 1},
			{"a vile text", 1, 1},
			{"an odd text", 1, 1}, // held
			{"to fail", away, 1},
			{"to hang", away, 1},
			{"こんにちは", 0, 1},
			{"casino", 1, 0}, // the list has said it all
			{"buy followers", 2, 0},
			{"damn vile", 1, 1},
			{"damn good", 0, 1},
		} {
			c, h := &checker{}, &holder{}
			ask := newFilter(t, moderation.Config{Checker: c, Holder: h, CheckerClosed: closed})
			a := ask(t, talk(append(im.Text(tt.text), im.Custom(`{"a":"second"}`, "", "")...)))
			if a.ErrorCode != tt.code || len(c.asked) != tt.asked {
				t.Errorf("%q, closed %v: ErrorCode %d, asked %d times; want %d, %d", tt.text, closed, a.ErrorCode, len(c.asked), tt.code, tt.asked)
			}
			if tt.asked > 0 && (c.asked[0].Text != tt.text+"\nsecond" || c.asked[0].From != "jane" || len(c.asked[0].ID) != 32) {
				t.Errorf("asked %+v", c.asked[0])
			}
			if held := strings.Contains(tt.text, "odd"); held != (len(h.held) == 1) {
				t.Errorf("%q: %d held", tt.text, len(h.held))
			}
		}
	}
}

// TestCheckerAway: after some failures nobody waits for the checker, until it is
// tried again.
func TestCheckerAway(t *testing.T) {
	now := time.Now()
	c := &checker{}
	ask := newFilter(t, moderation.Config{Checker: c, Now: func() time.Time { return now }})
	for range 20 {
		if a := ask(t, talk(im.Text("to fail"))); a.ErrorCode != 0 {
			t.Fatalf("ErrorCode %d", a.ErrorCode)
		}
	}
	before := len(c.asked)
	if before >= 10 {
		t.Errorf("asked %d times although it failed each time", before)
	}
	now = now.Add(time.Minute)
	ask(t, talk(im.Text("hello")))
	if a := ask(t, talk(im.Text("vile"))); a.ErrorCode != 1 || len(c.asked) != before+2 {
		t.Errorf("it is back: ErrorCode %d, asked %d times more", a.ErrorCode, len(c.asked)-before)
	}
}

// friends are jane and joe.
type friends struct{ asked int }

func (f *friends) AreFriends(_ context.Context, a, b string) (bool, error) {
	f.asked++
	if a == "nobody" || b == "nobody" {
		return false, errors.New("away")
	}
	return a == "jane" && b == "joe" || a == "joe" && b == "jane", nil
}

func TestFriends(t *testing.T) {
	now := time.Now()
	for _, closed := range []bool{false, true} {
		away := map[bool]int{false: 0, true: 1}[closed]
		f := &friends{}
		ask := newFilter(t, moderation.Config{
			Friends: f, FriendsClosed: closed, Exempt: []string{"administrator"}, FriendsText: "friends only", Now: func() time.Time { return now },
		})
		for _, tt := range []struct {
			from, to string
			code     int
			asked    int
		}{
			{"jane", "joe", 0, 1},
			{"joe", "jane", 0, 0}, // known
			{"jane", "june", 1, 1},
			{"jane", "june", 1, 1}, // they may be friends any moment
			{"jane", "nobody", away, 1},
			{"administrator", "june", 0, 0},
			{"june", "administrator", 0, 0},
			{"june", "@RBT#001", 0, 0},
		} {
			before := f.asked
			e := talk(im.Text("hello"))
			e.From, e.To = tt.from, tt.to
			a := ask(t, e)
			if a.ErrorCode != tt.code || f.asked-before != tt.asked {
				t.Errorf("%s to %s, closed %v: ErrorCode %d, asked %d times; want %d, %d", tt.from, tt.to, closed, a.ErrorCode, f.asked-before, tt.code, tt.asked)
			}
		}
		now = now.Add(time.Hour)
		before := f.asked
		ask(t, talk(im.Text("hello")))
		if f.asked != before+1 {
			t.Error("who was a friend an hour ago is not asked about again")
		}
	}
}

// TestLogHoldsNoText: it says what was decided and by which list, and nothing of
// what was written.
func TestLogHoldsNoText(t *testing.T) {
	var log bytes.Buffer
	ask := newFilter(t, moderation.Config{Checker: &checker{}, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	for _, word := range []string{"casino", "damn", "rumour", "meet me", "buy followers", "vile", "fail"} {
		ask(t, say("g", im.Public, im.Text("my private words: "+word)))
	}
	for _, want := range []string{`"action":"shadow"`, `"news"`, `"list":"test"`, `"action":"reject"`, `"Abuse"`, "text checker failed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
	for _, secret := range []string{"private words", "casino", "followers"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// offences is a Striker that remembers.
type offences struct{ all []moderation.Offence }

func (o *offences) Strike(_ context.Context, offence moderation.Offence) error {
	o.all = append(o.all, offence)
	return nil
}

// TestStrikesBySeverity: a refused or dropped message of at least that severity is
// an offence of its sender; one that is milder, masked, held or delivered is none.
func TestStrikesBySeverity(t *testing.T) {
	for _, tt := range []struct {
		from  int
		event callback.Event
		want  int // severity; 0: no offence
	}{
		{3, talk(im.Text("join my casino now")), 3},
		{3, say("lobby", im.AVRoom, im.Text("join my casino now")), 3}, // dropped
		{4, talk(im.Text("join my casino now")), 0},
		{1, talk(im.Text("去赌场")), 1},
		{1, talk(im.Text("damn")), 0},
		{1, say("lobby", im.Public, im.Text("meet me")), 0},
		{1, talk(im.Text("a rumour")), 0},
		{1, talk(im.Text("good evening")), 0},
	} {
		striker := &offences{}
		newFilter(t, moderation.Config{Striker: striker, StrikeFrom: tt.from})(t, tt.event)
		switch {
		case tt.want == 0 && len(striker.all) > 0:
			t.Errorf("from %d, %+v: %+v", tt.from, tt.event, striker.all)
		case tt.want > 0 && (len(striker.all) != 1 || striker.all[0].Severity != tt.want || striker.all[0].UserID != "jane" || striker.all[0].MessageID == ""):
			t.Errorf("from %d: %+v, want severity %d of jane", tt.from, striker.all, tt.want)
		}
	}
}
