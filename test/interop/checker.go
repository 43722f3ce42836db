// checker.go - verifies a log of Lov with golang.org/x/mod/sumdb, the code by which Go clients check
// their checksum database, and signs checkpoints with it that Lov has to verify.
//
//	checker log URL VKEY [TOKEN]   checkpoint, every tile, every proof; with TOKEN also every entry
//	checker note VKEY              opens the signed note on stdin, prints its text
//	checker sign NAME TEXTFILE     signs TEXTFILE with a new key: prints the key, then the note
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fail(format string, args ...interface{}) {
	check(fmt.Errorf(format, args...))
}

type client struct{ url, token string }

func (c client) get(path string) []byte {
	request, err := http.NewRequest("GET", c.url+path, nil)
	check(err)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := http.DefaultClient.Do(request)
	check(err)
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	check(err)
	if answer.StatusCode != 200 {
		fail("%s: %s: %s", path, answer.Status, data)
	}
	return data
}

// The reader of tiles that tlog asks. Its paths are tile/8/L/N, those of C2SP tile/L/N.
type tiles struct{ client }

func (t tiles) Height() int { return 8 }
func (t tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range list {
		all = append(all, t.get("/log/0/"+strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
	}
	return all, nil
}
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func hashOf(text string) (hash tlog.Hash) {
	raw, err := base64.StdEncoding.DecodeString(text)
	check(err)
	if copy(hash[:], raw) != len(raw) || len(raw) != len(hash) {
		fail("%s is not a hash", text)
	}
	return
}

func openNote(data []byte, vkey string) string {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	opened, err := note.Open(data, note.VerifierList(verifier))
	check(err)
	return opened.Text
}

func parseCheckpoint(text, vkey string) (tree tlog.Tree) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != strings.SplitN(vkey, "+", 2)[0] {
		fail("not the checkpoint of this log: %q", text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	return tlog.Tree{N: size, Hash: hashOf(lines[2])}
}

type proof struct {
	Leaf, Root string
	FromRoot   string `json:"from_root"`
	ToRoot     string `json:"to_root"`
	Hashes     []string
}

func (c client) proof(format string, args ...interface{}) (p proof, hashes []tlog.Hash) {
	check(json.Unmarshal(c.get(fmt.Sprintf(format, args...)), &p))
	for _, text := range p.Hashes {
		hashes = append(hashes, hashOf(text))
	}
	return
}

func same(a, b []tlog.Hash) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// Each proof that Lov makes is verified by tlog, and is the one that tlog makes itself from tiles.
func checkProofs(c client, tree tlog.Tree, reader tlog.HashReader, n int64) {
	p, hashes := c.proof("/v1/log/proof/inclusion?seq=%d&size=%d", n, tree.N)
	check(tlog.CheckRecord(hashes, tree.N, tree.Hash, n, hashOf(p.Leaf)))
	own, err := tlog.ProveRecord(tree.N, n, reader)
	check(err)
	if !same(hashes, own) {
		fail("another proof of inclusion of %d", n)
	}
	p, hashes = c.proof("/v1/log/proof/consistency?from=%d&to=%d", n+1, tree.N)
	old, err := tlog.TreeHash(n+1, reader)
	check(err)
	check(tlog.CheckTree(hashes, tree.N, tree.Hash, n+1, old))
	if own, err := tlog.ProveTree(tree.N, n+1, reader); err != nil || !same(hashes, own) {
		fail("another proof of consistency from %d: %v", n+1, err)
	}
	if hashOf(p.FromRoot) != old {
		fail("another root of %d", n+1)
	}
}

func checkEntries(c client, tree tlog.Tree, reader tlog.HashReader) {
	for n := int64(0); n < tree.N; {
		width := tree.N - n
		if width > 256 {
			width = 256
		}
		path := strings.Replace(tlog.Tile{H: 8, L: -1, N: n / 256, W: int(width)}.Path(), "tile/8/data/", "", 1)
		data := c.get("/log/0/tile/entries/" + path)
		for ; len(data) > 0; n++ {
			size := int(binary.BigEndian.Uint16(data))
			hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
			check(err)
			if tlog.RecordHash(data[2:2+size]) != hashes[0] {
				fail("entry %d is not what its tile says", n)
			}
			data = data[2+size:]
		}
	}
}

func checkLog(c client, vkey string) {
	tree := parseCheckpoint(openNote(c.get("/log/0/checkpoint"), vkey), vkey)
	reader := tlog.TileHashReader(tree, tiles{c})
	step := tree.N/97 + 1
	for n := int64(0); n < tree.N; n += step {
		checkProofs(c, tree, reader, n)
	}
	checkProofs(c, tree, reader, tree.N-1)
	if c.token != "" {
		checkEntries(c, tree, reader)
	}
	fmt.Println(tree.N)
}

func sign(name, file string) {
	text, err := os.ReadFile(file)
	check(err)
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	check(err)
	signer, err := note.NewSigner(skey)
	check(err)
	signed, err := note.Sign(&note.Note{Text: string(text)}, signer)
	check(err)
	fmt.Printf("%s\n%s", vkey, signed)
}

func main() {
	args := append(os.Args[1:], "", "", "", "")
	switch args[0] {
	case "log":
		checkLog(client{args[1], args[3]}, args[2])
	case "note":
		data, err := io.ReadAll(os.Stdin)
		check(err)
		fmt.Print(openNote(data, args[1]))
	case "sign":
		sign(args[1], args[2])
	default:
		fail("unknown: %s", args[0])
	}
}
