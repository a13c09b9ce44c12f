// Package image is the binary form of a compiled rule set, which the compiler writes
// and the engine reads without decoding. An image is a header and a series of arrays,
// little-endian, that are used in place.
//
// Open checks the bounds of every array, and the engine checks every index that it
// reads from an array, so an untrusted image may give wrong verdicts but causes no
// panic and no endless loop.
package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unsafe"
)

// Format is the version of the layout. An engine opens only its own format.
const Format = 2

const (
	magic      = "BCWL"
	headerSize = 16 // magic, format, checksum of the rest, length of all
)

// Codes are the values to which characters are mapped before they are matched. Codes
// from None on take the automaton one step; lower codes need further checks.
const (
	Skip  uint16 = iota // ignored: zero-width, bidi control, combining mark
	Joint               // a symbol that may stand between the letters of a word
	Dot                 // a full stop, as in f.u.c.k
	Space
	Period // an ideographic full stop: one of a sentence, or of an address
	Stop   // other punctuation of sentences
	Many   // folds to several codes
	Mark   // voices the kana before it
	At     // from here on: signs that may be read as letters
	Dollar // (Joint otherwise)
	Bang   // (Stop otherwise)
	Bar
	Digit // of 0; the other nine follow
)

// More codes.
const (
	None = Digit + 10 + iota // in no word: ends every match
	NoneHan
	NoneKana
	FirstKana                      // kana that take a voicing mark
	Kana        = 21               // their number
	NoneAlpha   = FirstKana + Kana // in no word, of a script that parts words by spaces
	FirstLetter = NoneAlpha + 1    // from here on: letters of this image's words, alphabets first
	Codes       = 1<<16 - 512      // bounds the codes of an image
)

// Groups classify codes by the word separation and the letter repetition of their
// script.
const (
	Other uint8 = iota
	Alpha
	Numeral
	Han
	KanaGroup
)

// Depth is the maximum number of a word's letters in the automaton; the rest of a
// longer word is compared after its beginning was found.
const Depth = 64

// Node is a state of the automaton, a double array: the successor of a state by code c
// is at Base+c if the node there has c as its Check; no two states have the same Base.
// If Mask lacks Bit(c), there is no successor by c, without a read at Base+c; if Mask
// is empty and words end in the state, Base is the index of the first of them in Outs.
type Node struct {
	Base, Fail   uint32
	Mask         uint32
	Check, Flags uint16
}

// Flags of a Node. The bits from DepthShift on are the number of letters that lead to
// the state.
const (
	Own    uint16 = 1 << iota // the state is in Outs
	Ends                      // it, or one that it fails to
	Twice                     // all its words want some letter twice
	Closed                    // all end in a letter of an alphabet and stand alone there

	DepthShift = 8
)

// Bit returns the bit of a code in a Mask.
func Bit(code uint16) uint32 { return 1 << (code & 31) }

// NoCode is the Check of an unused node.
const NoCode = ^uint16(0)

// Out is a word that ends in a state.
type Out struct{ State, Word uint32 }

// Word is one spelling of a rule. Its text ends where the next word's text begins.
type Word struct {
	Text uint32 // offset in Image.Text
	Kind uint16 // index in Image.Kinds
	Len  uint16 // letters, equal neighbours counted once
}

// Kind is the data that many words share.
type Kind struct {
	Category uint16 // index in Image.Names
	Severity uint8
	Action   uint8 // index in Image.Names
	Flags    uint32
}

// Flags of a Kind.
const (
	Allow      uint32 = 1 << iota // an allowed phrase, not a rule
	LeftBorder                    // no letter of the same script may stand before it
	RightBorder
	Exact    // only as written
	URLs     // looked for in URLs and e-mail addresses too
	Detailed // has a Detail
	Doubled  // some letter stands there twice or more
	Cuttable // ordinary words may overlap its edges, see Image.Cuts
)

// Detail is extra data of a few words: of those with equal neighbours, with gaps, or
// with more letters than Depth.
type Detail struct {
	Word  uint32
	Shape uint32 // in Image.Shapes, one for each letter of Word.Len
	Tail  uint32 // in Image.Tails, the codes of the letters from Depth on
}

// Shape describes one letter of a word: how often it occurs in a row, and the code of
// the gap before it and between the repetitions, Skip for none.
type Shape struct{ Run, Before, Inside, _ uint8 }

// Edge hashes an edge of a word and the letters beside it, from the edge outward. If
// the hash is among the cuts, the text has an ordinary word across the edge, and the
// listed word is no hit.
type Edge uint64

// LongestCut bounds the letters beside an edge.
const LongestCut = 5

// EdgeOf returns the edge of a word, without letters.
func EdgeOf(word uint32, behind bool) Edge {
	e := Edge(14695981039346656037).Next(uint16(word)).Next(uint16(word >> 16))
	if behind {
		e = e.Next(1)
	}
	return e
}

// Next returns the edge with one letter more.
func (e Edge) Next(code uint16) Edge { return (e ^ Edge(code)) * 1099511628211 }

// Piece is an ordinary word of two letters, as Pieces has it.
func Piece(first, second uint16) uint32 { return uint32(first)<<16 | uint32(second) }

// Name is a string of the image.
type Name struct{ Text, Len uint32 }

// Scope overrides the action of a category, or of all, in one scope. Its fields
// are indexes in Image.Names; category 0 is all.
type Scope struct{ Name, Category, Action, _ uint16 }

// Lengths of the small tables.
const (
	Pages    = 0x110000 >> 8
	PageSize = 256
	special  = int(FirstLetter)
)

// Indexes of Sizes.
const (
	LongestAlpha = iota // letters of the longest word of an alphabet, at most Depth
	AlphaCodes          // how many codes from NoneAlpha on are letters of alphabets
	sizes
)

// Image is an opened rule set. Its arrays are read-only.
type Image struct {
	Index  []uint16 // rune>>8 -> page
	Pages  []uint16 // page<<8 | rune&255 -> code
	Groups []uint8  // code -> group

	Runes  []uint32 // runes that fold to several codes, ascending
	Starts []uint32 // where their codes start, and an end
	Folds  []uint16

	Voiced     []uint16 // by FirstKana+i: the code with dakuten
	SemiVoiced []uint16 // with handakuten, Skip for none
	Leet       []uint16 // two readings of the codes below FirstLetter, Skip for none
	Sizes      []uint16 // see LongestAlpha

	Root    []uint32 // code -> state, from the root
	Inner   []uint32 // the same behind a letter of an alphabet, for what may begin there
	Nodes   []Node
	Outs    []Out  // by State, ascending
	Words   []Word // and one more that ends the last text
	Kinds   []Kind
	Details []Detail // by Word, ascending
	Shapes  []Shape
	Tails   []uint16

	// Cuts are where ordinary words overlap the edges of listed ones, ascending:
	// see Edge.
	Cuts []uint64
	// Pieces are ordinary words of two letters, ascending: one code and the other.
	Pieces []uint32

	Names  []Name // 0 is the version
	Scopes []Scope
	Text   []byte
}

// sections lists the arrays in the order of the file, for reading and writing.
func (im *Image) sections(c *codec) {
	section(c, &im.Index)
	section(c, &im.Pages)
	section(c, &im.Groups)
	section(c, &im.Runes)
	section(c, &im.Starts)
	section(c, &im.Folds)
	section(c, &im.Voiced)
	section(c, &im.SemiVoiced)
	section(c, &im.Leet)
	section(c, &im.Sizes)
	section(c, &im.Root)
	section(c, &im.Inner)
	section(c, &im.Nodes)
	section(c, &im.Outs)
	section(c, &im.Words)
	section(c, &im.Kinds)
	section(c, &im.Details)
	section(c, &im.Shapes)
	section(c, &im.Tails)
	section(c, &im.Cuts)
	section(c, &im.Pieces)
	section(c, &im.Names)
	section(c, &im.Scopes)
	section(c, &im.Text)
}

// codec is where sections are appended to, or taken from.
type codec struct {
	out []byte
	in  string
	err error
}

// section writes or views one array: its length, the size of an element, the
// elements, and zeros up to a multiple of 8.
func section[T any](c *codec, s *[]T) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if c.out != nil {
		c.out = binary.LittleEndian.AppendUint32(c.out, uint32(len(*s)))
		c.out = binary.LittleEndian.AppendUint32(c.out, uint32(size))
		if len(*s) > 0 {
			c.out = append(c.out, unsafe.Slice((*byte)(unsafe.Pointer(&(*s)[0])), len(*s)*size)...)
		}
		for len(c.out)%8 != 0 {
			c.out = append(c.out, 0)
		}
		return
	}
	if c.err != nil {
		return
	}
	if len(c.in) < 8 {
		c.err = errors.New("is truncated")
		return
	}
	head := []byte(c.in[:8])
	count, bytes := uint64(binary.LittleEndian.Uint32(head)), uint64(binary.LittleEndian.Uint32(head[4:]))
	c.in = c.in[8:]
	if bytes != uint64(size) || count*bytes > uint64(len(c.in)) {
		c.err = errors.New("has an array that exceeds its bounds")
		return
	}
	if count > 0 {
		*s = unsafe.Slice((*T)(unsafe.Pointer(unsafe.StringData(c.in))), int(count))
	}
	c.in = c.in[min(uint64(len(c.in)), (count*bytes+7)&^7):]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Marshal writes the image.
func (im *Image) Marshal() ([]byte, error) {
	if err := host(); err != nil {
		return nil, err
	}
	c := codec{out: make([]byte, headerSize)}
	im.sections(&c)
	copy(c.out, magic)
	binary.LittleEndian.PutUint32(c.out[4:], Format)
	binary.LittleEndian.PutUint32(c.out[8:], crc32.Checksum(c.out[headerSize:], castagnoli))
	binary.LittleEndian.PutUint32(c.out[12:], uint32(len(c.out)))
	return c.out, nil
}

// Open opens an image without copying it; the image must not change.
func Open(data string) (*Image, error) {
	if err := host(); err != nil {
		return nil, err
	}
	if len(data) < headerSize || data[:4] != magic {
		return nil, errors.New("rule image: not a rule image; compile one with rulec")
	}
	head := []byte(data[:headerSize])
	if f := binary.LittleEndian.Uint32(head[4:]); f != Format {
		return nil, fmt.Errorf("rule image: format %d, this engine opens format %d: compile the rule set again", f, Format)
	}
	if n := binary.LittleEndian.Uint32(head[12:]); uint64(n) != uint64(len(data)) {
		return nil, fmt.Errorf("rule image: has %d bytes instead of %d: upload it again", len(data), n)
	}
	rest := data[headerSize:]
	if crc32.Checksum(unsafe.Slice(unsafe.StringData(rest), len(rest)), castagnoli) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, errors.New("rule image: the checksum is wrong: upload or compile the image again")
	}
	im, c := &Image{}, codec{in: rest}
	im.sections(&c)
	if c.err == nil {
		c.err = im.check()
	}
	if c.err != nil {
		return nil, fmt.Errorf("rule image: it %w", c.err)
	}
	return im, nil
}

// check holds what the engine takes for granted; everything else it checks on
// its way.
func (im *Image) check() error {
	for _, page := range im.Index {
		if (int(page)+1)*PageSize > len(im.Pages) {
			return errors.New("refers to a page that does not exist")
		}
	}
	for _, root := range [][]uint32{im.Root, im.Inner} {
		for _, state := range root {
			if uint64(state) >= uint64(len(im.Nodes)) {
				return errors.New("refers to a state that does not exist")
			}
		}
	}
	switch {
	case len(im.Index) != Pages, len(im.Groups) < special,
		len(im.Voiced) != Kana, len(im.SemiVoiced) != Kana, len(im.Leet) != 2*special, len(im.Sizes) != sizes,
		len(im.Starts) != len(im.Runes)+1,
		len(im.Nodes) == 0, len(im.Words) == 0, len(im.Names) == 0:
		return errors.New("lacks a table")
	}
	return nil
}

// host refuses machines on which the arrays would read backwards.
func host() error {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return errors.New("rule image: only little-endian machines can read it")
	}
	return nil
}

// Name returns a string of the image, or "" for an index out of range.
func (im *Image) Name(i int) string {
	if i < 0 || i >= len(im.Names) {
		return ""
	}
	n := im.Names[i]
	return im.text(uint64(n.Text), uint64(n.Text)+uint64(n.Len))
}

// WordText returns the text of a word as the rule set has it.
func (im *Image) WordText(word int) string {
	if word < 0 || word+1 >= len(im.Words) {
		return ""
	}
	return im.text(uint64(im.Words[word].Text), uint64(im.Words[word+1].Text))
}

func (im *Image) text(from, to uint64) string {
	if from >= to || to > uint64(len(im.Text)) {
		return ""
	}
	return unsafe.String(&im.Text[from], int(to-from))
}
