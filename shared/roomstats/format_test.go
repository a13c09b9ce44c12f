package roomstats

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im"
)

// custom is a message with one custom element.
func custom(data string) im.MsgBody { return im.Custom(data, "", "") }

func giftData(count string) string {
	return fmt.Sprintf(`{"version":1.0,"businessID":"flutter_live_kit","data":{"cmd":"send_gift_message","cmdInfo":{"type":1,"giftUrl":"","giftCount":%s,"giftName":"flower","giftUnits":"Duo"}}}`, count)
}

func likeData(count string) string {
	return fmt.Sprintf(`{"businessID":"flutter_live_kit","data":{"cmd":"thumbs_up","cmdInfo":{"count":%s}}}`, count)
}

func TestFormats(t *testing.T) {
	shop, err := ParseFormat("businessID=shop kind=rose count:n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		format Format
		data   string
		count  int64
		is     bool
	}{
		{"the plug-in's gift", PluginGift, giftData("3"), 3, true},
		{"a gift is no like", PluginLike, giftData("3"), 0, false},
		{"the plug-in's like", PluginLike, `{"businessID":"flutter_live_kit","data":{"cmd":"thumbs_up"}}`, 1, true},
		{"a batch of likes", PluginLike, likeData("15"), 15, true},
		{"negative", PluginGift, giftData("-3"), 0, true},
		{"zero", PluginGift, giftData("0"), 0, true},
		{"a fraction", PluginGift, giftData("1.5"), 0, true},
		{"huge", PluginGift, giftData("99999999999999999999999"), 0, true},
		{"an exponent", PluginGift, giftData("1e3"), 0, true},
		{"text for a number", PluginGift, giftData(`"3"`), 0, true},
		{"null", PluginGift, giftData("null"), 0, true},
		{"our own", shop, `{"businessID":"shop","kind":"rose","n":2}`, 2, true},
		{"another kind", shop, `{"businessID":"shop","kind":"car","n":2}`, 0, false},
		{"not JSON", PluginGift, `gift`, 0, false},
		{"an array", PluginGift, `[1]`, 0, false},
		{"data is text", PluginGift, `{"businessID":"flutter_live_kit","data":"send_gift_message"}`, 0, false},
		{"nothing", PluginGift, ``, 0, false},
	} {
		if count, is := tt.format.Find(custom(tt.data)); count != tt.count || is != tt.is {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, count, is, tt.count, tt.is)
		}
	}
	if _, is := PluginGift.Find(im.Text("send_gift_message")); is {
		t.Error("a text is a gift")
	}
	for _, wrong := range []string{"", "count:n", "a", "a=", "=b", "a=b a=c", "a..b=c", "a=b count:x count:y", "a.b.c.d.e.f.g.h.i=j"} {
		if f, err := ParseFormat(wrong); err == nil {
			t.Errorf("%q is a format: %+v", wrong, f)
		}
	}
}

// FuzzPayloads: whatever a client puts into a message, a format finds a number
// within its bounds or nothing, the same each time, and only in what is JSON.
func FuzzPayloads(f *testing.F) {
	for _, seed := range []string{giftData("3"), likeData("20"), likeData("-1"), giftData("1e400"), `{"businessID":"flutter_live_kit"}`, `{`, `null`, `{"data":{"data":{}}}`} {
		f.Add(seed, `{"backchannel":{"orders":["1"]}}`)
	}
	f.Fuzz(func(t *testing.T, data, cloud string) {
		for _, format := range []Format{PluginGift, PluginLike} {
			count, is := format.Find(custom(data))
			if count < 0 || count > maxPieces || !is && count != 0 {
				t.Errorf("%d, %v", count, is)
			}
			if is && !json.Valid([]byte(data)) {
				t.Error("found in what is no JSON")
			}
			if again, still := format.Find(custom(data)); again != count || still != is {
				t.Errorf("%d, %v and then %d, %v", count, is, again, still)
			}
		}
		if orders(cloud) && !json.Valid([]byte(cloud)) {
			t.Error("orders in what is no JSON")
		}
	})
}
