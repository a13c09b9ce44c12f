package sdkgate_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
)

// place asks for a place of the upload store and returns pre_sig's answer.
func (p *page) place(name string, kind int) map[string]any {
	p.Helper()
	return p.must("im_cos_msg.pre_sig", map[string]any{"file_name": name, "file_type": kind, "upload_method": 0, "Duration": 900})
}

// http sends a request as a page of an origin and returns the answer with its body.
func (w *world) http(method, url, origin string, body []byte) (*http.Response, []byte) {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Content-Type", "image/png")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp, content
}

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A file is uploaded once to a place that its page asked for, and is downloaded as it
// was; a picture also in two smaller sizes.
func TestUploads(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	place := w.login("alice").place("sky.png", 1)
	upload := place["uploadUrl"].(string)
	content := pngOf(t, 1000, 500)
	if resp, _ := w.http("GET", upload, "", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("before the upload: status %d", resp.StatusCode)
	}
	if resp, _ := w.http("OPTIONS", upload, "http://localhost:5173", nil); resp.StatusCode != http.StatusNoContent || !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight: %v", resp)
	}
	if resp, body := w.http("PUT", upload, "http://localhost:5173", content); resp.StatusCode != http.StatusOK || resp.Header.Get("Access-Control-Allow-Origin") != "http://localhost:5173" {
		t.Fatalf("upload: %v %s", resp, body)
	}
	if resp, _ := w.http("PUT", upload, "", []byte("another")); resp.StatusCode != http.StatusConflict {
		t.Errorf("a second upload: status %d", resp.StatusCode)
	}
	resp, got := w.http("GET", place["downloadUrl"].(string)+"?authKey=emulator", "", nil)
	if !bytes.Equal(got, content) || resp.Header.Get("Content-Type") != "image/png" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("download: %d bytes, %v", len(got), resp.Header)
	}
	for name, want := range map[string]image.Point{"thumbUrl": {X: 198, Y: 99}, "largeUrl": {X: 720, Y: 360}} {
		_, got := w.http("GET", place[name].(string), "", nil)
		conf, _, err := image.DecodeConfig(bytes.NewReader(got))
		if err != nil || conf.Width != want.X || conf.Height != want.Y {
			t.Errorf("%s: %v, %v, want %v", name, conf, err, want)
		}
	}
	for name, url := range map[string]string{
		"an unknown place": w.web.URL + "/media/x/sky.png", "no name": w.web.URL + "/media/x", "nothing": w.web.URL + "/media/",
	} {
		if resp, _ := w.http("PUT", url, "", content); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
	for _, method := range []string{"PUT", "GET", "OPTIONS"} {
		if resp, _ := w.http(method, upload, "https://evil.example", content); resp.StatusCode != http.StatusForbidden || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a foreign page's %s: %v", method, resp)
		}
	}
	if resp, _ := w.http("POST", upload, "", content); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", resp.StatusCode)
	}
}

// What is no picture has no smaller sizes and is served as it is, and a page never
// becomes one of the emulator's own origin.
func TestUploadsThatAreNoPictures(t *testing.T) {
	w := newWorld(t, sdkgate.Options{})
	alice := w.login("alice")
	header := append([]byte("\x89PNG\r\n\x1a\n"), pngOf(t, 2, 2)[8:]...)
	copy(header[16:], "\xff\xff\xff\xff\xff\xff\xff\xff") // a size that nobody has memory for
	for name, content := range map[string][]byte{"text": []byte("<script>"), "half a picture": pngOf(t, 900, 900)[:40], "a bomb": header, "nothing": {}} {
		place := alice.place("x.html", 1)
		if resp, _ := w.http("PUT", place["uploadUrl"].(string), "", content); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
		if _, got := w.http("GET", place["thumbUrl"].(string), "", nil); !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(content))
		}
	}
	place := alice.place("x.html", 255)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, place["uploadUrl"].(string), strings.NewReader("<script>"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/html")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	resp, _ = w.http("GET", place["downloadUrl"].(string), "", nil)
	if h := resp.Header; h.Get("Content-Type") != "application/octet-stream" || h.Get("Content-Disposition") != "attachment; filename=x.html" ||
		!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a page: %v", h)
	}
	// An odd name stays within its place.
	for _, name := range []string{"", ".", "..", "a/b", "a\\b", "\x00", strings.Repeat("x", 300), "ü ?#&%.png"} {
		place := alice.place(name, 255)
		if resp, _ := w.http("PUT", place["uploadUrl"].(string), "", []byte(name)); resp.StatusCode != http.StatusOK {
			t.Errorf("%q: status %d at %v", name, resp.StatusCode, place["uploadUrl"])
		}
		if _, got := w.http("GET", place["downloadUrl"].(string), "", nil); string(got) != name {
			t.Errorf("%q: got %q", name, got)
		}
	}
}

// The store is bounded: a file that is too large or of unknown size is refused before
// it is read, and the oldest files go when there is no room.
func TestTheUploadStoreIsBounded(t *testing.T) {
	w := newWorld(t, sdkgate.Options{MediaBytes: 10_000, MediaFileBytes: 4000})
	alice := w.login("alice")
	put := func(size int) (string, int) {
		place := alice.place("f", 255)["uploadUrl"].(string)
		resp, _ := w.http("PUT", place, "", make([]byte, size))
		return place, resp.StatusCode
	}
	if _, status := put(4001); status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: status %d", status)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, alice.place("f", 255)["uploadUrl"].(string), io.MultiReader(strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusLengthRequired {
		t.Errorf("without a length: status %d", resp.StatusCode)
	}
	var places []string
	for range 4 {
		place, status := put(4000)
		if status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
		places = append(places, place)
	}
	for i, place := range places {
		resp, got := w.http("GET", place, "", nil)
		if kept := i >= 2; kept != (resp.StatusCode == http.StatusOK && len(got) == 4000) {
			t.Errorf("file %d: status %d, %d bytes", i, resp.StatusCode, len(got))
		}
	}
	// Places alone are bounded too.
	first := alice.place("f", 255)["uploadUrl"].(string)
	for range 60 {
		objects := make([]map[string]any, 20)
		for i := range objects {
			objects[i] = map[string]any{"uint32_file_id": i, "uint32_file_type": 1, "str_file_name": "x"}
		}
		if out := alice.must("im_cos_msg.simple_sig", map[string]any{"rpt_upload_object": objects}); len(out["preSig"].([]any)) != 20 {
			t.Fatal(out)
		}
	}
	if resp, _ := w.http("PUT", first, "", []byte("late")); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the oldest place: status %d", resp.StatusCode)
	}
	if out := alice.ask("im_cos_msg.simple_sig", nil, map[string]any{"rpt_upload_object": make([]map[string]any, 21)}); out["ErrorCode"] != 60003.0 {
		t.Errorf("21 at once: %v", out)
	}
}

// Uploads at once stay apart, and never take more than there is.
func TestUploadsAtOnce(t *testing.T) {
	w := newWorld(t, sdkgate.Options{MediaBytes: 1 << 20})
	alice := w.login("alice")
	var places []string
	for i := range 40 {
		places = append(places, alice.place(fmt.Sprint(i), 255)["uploadUrl"].(string))
	}
	var all sync.WaitGroup
	for i, place := range places {
		all.Go(func() {
			content := bytes.Repeat([]byte{byte(i)}, 50_000)
			if resp, _ := w.http("PUT", place, "", content); resp.StatusCode == http.StatusOK {
				if resp, got := w.http("GET", place, "", nil); resp.StatusCode == http.StatusOK && !bytes.Equal(got, content) {
					t.Errorf("file %d has another's content", i)
				}
			}
		})
	}
	all.Wait()
	kept := 0
	for _, place := range places {
		if resp, _ := w.http("GET", place, "", nil); resp.StatusCode == http.StatusOK {
			kept++
		}
	}
	if kept == 0 || kept > 20 {
		t.Errorf("%d files of 50,000 bytes are kept in a store of 1 MiB", kept)
	}
}
