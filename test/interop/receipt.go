// receipt.go - verifies a receipt of Lov with golang.org/x/mod/sumdb: the checkpoint's signature, the
// event's inclusion, and the signature over the receipt as a whole.
//
//	receipt VKEY   reads the receipt on stdin, prints the event's number
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
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

func decode(text string) []byte {
	raw, err := base64.StdEncoding.DecodeString(text)
	check(err)
	return raw
}

func hashOf(text string) (hash tlog.Hash) {
	if copy(hash[:], decode(text)) != len(hash) {
		check(fmt.Errorf("%s is not a hash", text))
	}
	return
}

func open(data string, vkey string) string {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	opened, err := note.Open([]byte(data), note.VerifierList(verifier))
	check(err)
	return opened.Text
}

// The form of RFC 8785, but for U+2028 and U+2029, which Go always escapes: Go sorts the members, and
// must be told not to escape for HTML.
func canonical(value interface{}) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	check(encoder.Encode(value))
	return bytes.TrimRight(out.Bytes(), "\n")
}

func main() {
	vkey := os.Args[1]
	var receipt map[string]interface{}
	var typed struct {
		Proof struct {
			Seq                          int64
			Event, Checkpoint, Signature string
			Hashes                       []string
		}
	}
	var input bytes.Buffer
	_, err := input.ReadFrom(os.Stdin)
	check(err)
	check(json.Unmarshal(input.Bytes(), &receipt))
	check(json.Unmarshal(input.Bytes(), &typed))
	p := typed.Proof

	lines := strings.Split(open(p.Checkpoint, vkey), "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	var hashes []tlog.Hash
	for _, text := range p.Hashes {
		hashes = append(hashes, hashOf(text))
	}
	check(tlog.CheckRecord(hashes, size, hashOf(lines[2]), p.Seq, tlog.RecordHash(decode(p.Event))))

	delete(receipt["proof"].(map[string]interface{}), "signature")
	hash := sha256.Sum256(canonical(receipt))
	open("lov receipt 1\nsha256:"+base64.StdEncoding.EncodeToString(hash[:])+"\n\n"+p.Signature+"\n", vkey)
	fmt.Println(p.Seq)
}
