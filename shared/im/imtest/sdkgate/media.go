package sdkgate

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	_ "image/gif" // pictures that pages send
	"image/jpeg"
	_ "image/png"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/backchannel-im/backchannel/shared/im/imtest"
)

// The upload store: what pages send as images, audio, videos and files. The SDK asks
// for a place (pre_sig, or simple_sig where it has proxies), writes the file there
// with PUT, and sends a message with the file's URL.

// Limits of the upload store.
const (
	mediaBytes     = 128 << 20 // of all files together
	mediaFileBytes = 32 << 20  // of one file
	mediaPlaces    = 1000      // places that were asked for, with a file or without
	mostPixels     = 25 << 20  // of a picture that is made smaller; a larger one is served as it is
	mediaName      = 200       // bytes of a file's name in its URL
)

// The longer side of the pictures that an image message has beside the original, in
// pixels.
var mediaSides = map[string]int{"thumb": 198, "large": 720}

// media keeps uploaded files in memory. When it is full, the oldest files go: the
// real service deletes files after some days. It is safe for concurrent use.
type media struct {
	most, mostFile int64
	allowed        func(*http.Request) bool
	resizing       sync.Mutex // one picture at a time is made smaller

	mu     sync.Mutex
	places map[string]*mediaFile // by their unguessable name
	order  []*mediaFile          // oldest first
	bytes  int64                 // of all files, those on their way included
}

// mediaFile is one place of the store.
type mediaFile struct {
	key, name   string
	contentType string
	size        int64
	content     []byte // nil until the upload is complete
	busy        bool   // an upload is under way
}

func newMedia(o Options, allowed func(*http.Request) bool) *media {
	return &media{most: o.MediaBytes, mostFile: min(o.MediaFileBytes, o.MediaBytes), allowed: allowed, places: make(map[string]*mediaFile)}
}

// place makes room for one upload and returns its path.
func (m *media) place(name string) (path, key string) {
	if len(name) > mediaName || name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\") || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		name = "file"
	}
	f := &mediaFile{key: token(), name: name}
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.order) >= mediaPlaces && m.dropOldest() {
	}
	m.places[f.key] = f
	m.order = append(m.order, f)
	return "/media/" + f.key + "/" + url.PathEscape(name), f.key
}

// dropOldest forgets the oldest file that is not being uploaded. The caller holds the
// lock. It reports whether there was one.
func (m *media) dropOldest() bool {
	i := slices.IndexFunc(m.order, func(f *mediaFile) bool { return !f.busy })
	if i < 0 {
		return false
	}
	f := m.order[i]
	m.order = slices.Delete(m.order, i, i+1)
	delete(m.places, f.key)
	m.bytes -= f.size
	return true
}

// reserve takes a place and the bytes for an upload, before the first byte is read.
// The status is 0 where both are free.
func (m *media) reserve(key string, size int64) (*mediaFile, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.places[key]
	switch {
	case f == nil:
		return nil, http.StatusNotFound
	case f.busy || f.content != nil:
		return nil, http.StatusConflict
	case size < 0:
		return nil, http.StatusLengthRequired
	case size > m.mostFile:
		return nil, http.StatusRequestEntityTooLarge
	}
	f.busy = true
	for m.bytes+size > m.most {
		if !m.dropOldest() {
			f.busy = false
			return nil, http.StatusServiceUnavailable
		}
	}
	f.size = size
	m.bytes += size
	return f, 0
}

// settle ends an upload: with its content, or without after a failure, which leaves
// the place free for another attempt.
func (m *media) settle(f *mediaFile, content []byte, contentType string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.busy = false
	if content == nil {
		m.bytes -= f.size
		f.size = 0
		return
	}
	f.content, f.contentType = content, contentType
}

// get returns a complete file, or nil.
func (m *media) get(key string) *mediaFile {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.places[key]
	if f == nil || f.content == nil {
		return nil
	}
	return f
}

// ServeHTTP takes uploads and serves downloads, to pages of the origins that may open
// a socket. A place's name is the right to it.
func (m *media) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if !m.allowed(r) {
		http.Error(w, "pages of this origin are not allowed", http.StatusForbidden)
		return
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "ETag")
	}
	switch r.Method {
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT, POST")
		h.Set("Access-Control-Allow-Headers", "*")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPut:
		m.upload(w, r)
	case http.MethodGet, http.MethodHead:
		m.download(w, r)
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS, PUT")
		http.Error(w, "upload a file with PUT", http.StatusMethodNotAllowed)
	}
}

func (m *media) upload(w http.ResponseWriter, r *http.Request) {
	f, status := m.reserve(r.PathValue("key"), r.ContentLength)
	if status != 0 {
		http.Error(w, "no upload here: "+http.StatusText(status), status)
		return
	}
	content := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, content); err != nil {
		m.settle(f, nil, "")
		http.Error(w, "the upload was cut off", http.StatusBadRequest)
		return
	}
	m.settle(f, content, r.Header.Get("Content-Type"))
	w.Header().Set("ETag", strconv.Quote(f.key))
	w.WriteHeader(http.StatusOK)
}

// shown are the types of files that a browser may show. Others are saved: a page
// must not become one of the emulator's own origin, which has its controls.
var shown = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "audio/", "video/"}

func (m *media) download(w http.ResponseWriter, r *http.Request) {
	f := m.get(r.PathValue("key"))
	if f == nil {
		http.Error(w, "there is no such file; the oldest files are deleted when the store is full", http.StatusNotFound)
		return
	}
	content, contentType := f.content, f.contentType
	if r.PathValue("size") == videoCover {
		content, contentType = coverPicture(), "image/jpeg"
	}
	if side := mediaSides[r.PathValue("size")]; side > 0 {
		if small := m.smaller(content, side); small != nil {
			content, contentType = small, "image/jpeg"
		}
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "private, max-age=86400")
	if !slices.ContainsFunc(shown, func(t string) bool { return strings.HasPrefix(contentType, t) }) {
		contentType = "application/octet-stream"
		h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.name}))
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(content)
	}
}

// videoCover is the picture of a video before it plays. The store decodes no video:
// it shows the sign for playing.
const videoCover = "cover"

var coverPicture = sync.OnceValue(func() []byte {
	const side = 200
	cover := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			if inside := x >= 75 && x <= 135 && 2*max(y-side/2, side/2-y) <= 135-x; inside {
				cover.SetGray(x, y, color.Gray{Y: 0xee})
			} else {
				cover.SetGray(x, y, color.Gray{Y: 0x33})
			}
		}
	}
	var out bytes.Buffer
	_ = jpeg.Encode(&out, cover, nil) // a buffer takes everything
	return out.Bytes()
})

// picture returns the size of a picture in pixels, 0 for other files.
func picture(content []byte) (width, height int) {
	c, _, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil || c.Width <= 0 || c.Height <= 0 {
		return 0, 0
	}
	return c.Width, c.Height
}

// fit scales a picture's size down to a longest side.
func fit(width, height, side int) (int, int) {
	if longer := max(width, height); longer > side {
		return max(1, width*side/longer), max(1, height*side/longer)
	}
	return width, height
}

// smaller returns a picture with its longer side at most side, or nil where it is
// small enough, too large to decode, or none.
func (m *media) smaller(content []byte, side int) []byte {
	width, height := picture(content)
	w, h := fit(width, height, side)
	if width == 0 || w == width && h == height || int64(width)*int64(height) > mostPixels {
		return nil
	}
	m.resizing.Lock()
	defer m.resizing.Unlock()
	from, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			to.Set(x, y, opaque(from.At(from.Bounds().Min.X+x*width/w, from.Bounds().Min.Y+y*height/h)))
		}
	}
	var out bytes.Buffer
	if jpeg.Encode(&out, to, nil) != nil {
		return nil
	}
	return out.Bytes()
}

// opaque puts a colour on white.
func opaque(c color.Color) color.Color {
	r, g, b, a := c.RGBA()
	rest := 0xffff - a
	return color.RGBA64{R: uint16(r + rest), G: uint16(g + rest), B: uint16(b + rest), A: 0xffff}
}

// Types of files in requests.
const videoFile = 2

// urlsOf makes a place for an upload and returns its addresses, by the SDK's own names.
func (r *request) urlsOf(name string, kind int) fields {
	path, key := r.gate.media.place(name)
	base := r.sock.base
	last := path[strings.LastIndexByte(path, '/'):]
	urls := fields{
		"uploadUrl": base + path, "downloadUrl": base + path, "thumbUrl": base + "/media/" + key + "/thumb" + last,
		"largeUrl": base + "/media/" + key + "/large" + last, "fileKey": key, "requestSnapshotUrl": "", "requestId": key,
		"expiredTime": 900, "existFlag": 0, "uploadIP": "",
	}
	if kind == videoFile {
		urls["requestSnapshotUrl"] = base + "/media/" + key + "/" + videoCover + last
	}
	return urls
}

// preSig gives a place for one upload to a page without proxies.
func preSig(r *request) (fields, error) {
	var in struct {
		Name string `json:"file_name"`
		Type int    `json:"file_type"`
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return ok(r.urlsOf(in.Name, in.Type)), nil
}

// mostPlacesAtOnce bounds the places of one request.
const mostPlacesAtOnce = 20

// simpleSig gives places for uploads to a page with proxies, whose host takes the
// place of the URLs' own.
func simpleSig(r *request) (fields, error) {
	var in struct {
		Objects []struct {
			Name string `json:"str_file_name"`
			Type int    `json:"uint32_file_type"`
		} `json:"rpt_upload_object"`
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if len(in.Objects) > mostPlacesAtOnce {
		return nil, &imtest.Error{Code: 60003, Info: "over " + strconv.Itoa(mostPlacesAtOnce) + " files at once"}
	}
	places := make([]fields, len(in.Objects))
	for i, o := range in.Objects {
		places[i] = r.urlsOf(o.Name, o.Type)
	}
	return ok(fields{"preSig": places, "uploadIP": ""}), nil
}

// snapshot answers with a video's cover, whose URL pre_sig gave already.
func snapshot(r *request) (fields, error) {
	var in struct {
		URL string `json:"snapshot_url"`
	}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	return ok(fields{"snapshot_url": in.URL}), nil
}

// plainMedia returns a message's body with the URLs of the store as pages can load
// them: an SDK that has a proxy for uploads writes https, which the emulator does not
// serve.
func (r *request) plainMedia(body json.RawMessage) json.RawMessage {
	plain, is := strings.CutPrefix(r.sock.base, "http://")
	if !is {
		return body
	}
	return bytes.ReplaceAll(body, []byte("https://"+plain+"/media/"), []byte("http://"+plain+"/media/"))
}
