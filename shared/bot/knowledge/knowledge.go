// Package knowledge searches a folder of Markdown for the passages that answer a
// question, within the process and without a server.
//
// A folder is compiled into an image once: each heading begins a passage, and each
// passage is indexed by its words; Chinese, Japanese, Korean and Thai, which are
// written without spaces, by their characters and pairs of characters. [Open] takes
// an image, and [Base.Search] ranks passages by BM25 [1], with the words of headings
// counting more.
//
// [1] Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and
// Beyond, 2009.
package knowledge

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Passage is the text below one heading.
type Passage struct {
	Page   string   // path of the file in its folder, with slashes
	Anchor string   // of the heading within the page
	Path   []string // the headings above it and its own, the page's title first
	Text   string   // Markdown
}

// Address names the passage within the folder: page and anchor.
func (p Passage) Address() string { return p.Page + "#" + p.Anchor }

// Title is the headings in a row.
func (p Passage) Title() string { return strings.Join(p.Path, " › ") }

// Base is an opened image. It is safe for concurrent use.
type Base struct {
	version  string
	passages []Passage
	length   []float64 // in terms
	average  float64
	terms    []string // sorted
	postings [][]posting
}

type posting struct{ passage, count int }

// Version identifies the compiled folder: the same files have the same version.
func (b *Base) Version() string { return b.version }

// Hit is a passage that was found.
type Hit struct {
	Passage
	Score float64
}

// MaxQuery is the part of a query that Search reads, in bytes.
const MaxQuery = 2000

// The parameters of BM25 that its authors recommend.
const (
	k1 = 1.2
	bb = 0.75
)

// Search returns the n passages that match a query best, or fewer, the best first. A
// query without a word of the folder finds nothing.
func (b *Base) Search(query string, n int) []Hit {
	if len(query) > MaxQuery {
		query = query[:MaxQuery]
		for len(query) > 0 && !utf8.ValidString(query) && len(query) > MaxQuery-utf8.UTFMax {
			query = query[:len(query)-1]
		}
	}
	scores := map[int]float64{}
	asked := map[string]bool{}
	for _, t := range terms(query) {
		if asked[t.text] {
			continue
		}
		asked[t.text] = true
		i, found := slices.BinarySearch(b.terms, t.text)
		if !found {
			continue
		}
		list := b.postings[i]
		all, with := float64(len(b.passages)), float64(len(list))
		idf := math.Log(1 + (all-with+0.5)/(with+0.5))
		for _, p := range list {
			tf := float64(p.count)
			scores[p.passage] += t.weight * idf * tf * (k1 + 1) / (tf + k1*(1-bb+bb*b.length[p.passage]/b.average))
		}
	}
	hits := make([]Hit, 0, len(scores))
	for i, score := range scores {
		hits = append(hits, Hit{b.passages[i], score})
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(-cmp.Compare(a.Score, b.Score), strings.Compare(a.Address(), b.Address()))
	})
	return hits[:min(len(hits), n)]
}

// An image is a magic, a checksum, the version, the passages, and the terms with
// their postings; numbers are varints, texts have their length before them.
const magic = "BCKNOW1\n"

// MaxImage bounds an image, in bytes.
const MaxImage = 64 << 20

// ErrImage: the bytes are no image, or a damaged one.
var ErrImage = errors.New("knowledge: this is no image that imctl knowledge compile made, or it is damaged")

type writer struct{ b []byte }

func (w *writer) number(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) }
func (w *writer) text(s string) {
	w.number(len(s))
	w.b = append(w.b, s...)
}

type reader struct {
	s   string
	bad bool
}

// number reads a number of at most so much.
func (r *reader) number(most int) int {
	n, size := uint64(0), 0
	for shift := 0; size < len(r.s) && size < binary.MaxVarintLen64; shift += 7 {
		c := r.s[size]
		size++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			r.s = r.s[size:]
			if n > uint64(most) {
				break
			}
			return int(n)
		}
	}
	r.bad = true
	return 0
}

func (r *reader) text() string {
	n := r.number(len(r.s))
	if r.bad || n > len(r.s) {
		r.bad = true
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n:]
	return s
}

// Open opens an image. Its texts stay in use.
func Open(image string) (*Base, error) {
	rest, is := strings.CutPrefix(image, magic)
	if !is || len(rest) < 4 || len(image) > MaxImage {
		return nil, ErrImage
	}
	sum := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16 | uint32(rest[3])<<24
	r := &reader{s: rest[4:]}
	if crc32.ChecksumIEEE([]byte(r.s)) != sum {
		return nil, ErrImage
	}
	b := &Base{version: r.text()}
	total := 0
	for range r.number(len(r.s)) {
		p := Passage{Page: r.text(), Anchor: r.text()}
		for range r.number(len(r.s)) {
			p.Path = append(p.Path, r.text())
		}
		p.Text = r.text()
		n := r.number(math.MaxInt32)
		if r.bad {
			return nil, ErrImage
		}
		b.passages, b.length = append(b.passages, p), append(b.length, float64(n))
		total += n
	}
	b.average = max(float64(total)/float64(max(len(b.passages), 1)), 1)
	for range r.number(len(r.s)) {
		term := r.text()
		var list []posting
		last := -1
		for range r.number(len(r.s)) {
			last += r.number(len(b.passages)) + 1
			count := r.number(math.MaxInt32)
			if r.bad || last >= len(b.passages) {
				return nil, ErrImage
			}
			list = append(list, posting{last, count})
		}
		if r.bad || len(b.terms) > 0 && b.terms[len(b.terms)-1] >= term {
			return nil, ErrImage
		}
		b.terms, b.postings = append(b.terms, term), append(b.postings, list)
	}
	if r.bad || r.s != "" {
		return nil, ErrImage
	}
	return b, nil
}

// encode makes an image of passages.
func encode(version string, passages []Passage) []byte {
	index := map[string]map[int]int{}
	lengths := make([]int, len(passages))
	for i, p := range passages {
		add := func(text string, weight int) {
			for _, t := range terms(text) {
				if index[t.text] == nil {
					index[t.text] = map[int]int{}
				}
				index[t.text][i] += weight
				lengths[i] += weight
			}
		}
		for n, heading := range p.Path {
			if n == len(p.Path)-1 {
				add(heading, ofHeading)
			} else {
				add(heading, ofTitle)
			}
		}
		add(p.Text, 1)
	}
	w := &writer{}
	w.text(version)
	w.number(len(passages))
	for i, p := range passages {
		w.text(p.Page)
		w.text(p.Anchor)
		w.number(len(p.Path))
		for _, heading := range p.Path {
			w.text(heading)
		}
		w.text(p.Text)
		w.number(lengths[i])
	}
	all := make([]string, 0, len(index))
	for term := range index {
		all = append(all, term)
	}
	sort.Strings(all)
	w.number(len(all))
	for _, term := range all {
		w.text(term)
		in := index[term]
		ids := make([]int, 0, len(in))
		for id := range in {
			ids = append(ids, id)
		}
		sort.Ints(ids)
		w.number(len(ids))
		last := -1
		for _, id := range ids {
			w.number(id - last - 1)
			w.number(in[id])
			last = id
		}
	}
	out := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(out[len(magic):], crc32.ChecksumIEEE(w.b))
	return append(out, w.b...)
}

// How often a word counts that stands in a passage's own heading, or in one above.
const (
	ofHeading = 3
	ofTitle   = 2
)

// String describes the base to people.
func (b *Base) String() string {
	return fmt.Sprintf("%d passages, %d terms, version %s", len(b.passages), len(b.terms), b.version)
}
