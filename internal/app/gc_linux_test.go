package app

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
)

// residentProgram is how much of the program's own file is in memory, in bytes.
func residentProgram(t *testing.T) (n int) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip("no /proc here: ", err)
	}
	defer func() { _ = f.Close() }()
	var of region
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if !strings.HasSuffix(fields[0], ":") {
			of = parseRegion(lines.Text(), program)
		} else if fields[0] == "Rss:" && of.size > 0 {
			kib, _ := strconv.Atoi(fields[1])
			n += kib << 10
		}
	}
	return n
}

func TestTheProgramsPagesAreForgottenAndComeBack(t *testing.T) {
	before := residentProgram(t)
	forgetProgram()
	if after := residentProgram(t); before == 0 || after > before/2 {
		t.Errorf("%d bytes of the program were resident, and %d are afterwards", before, after)
	}
	// That this test goes on, and those after it, says that what is needed comes back.
}

func TestOnlyTheProgramsReadOnlyRegionsAreForgotten(t *testing.T) {
	t.Parallel()
	const program = "/opt/way post/waypost"
	for line, want := range map[string]region{
		"00400000-01270000 r-xp 00000000 fe:00 9979571                            /opt/way post/waypost": {0x400000, 0xe70000},
		"01270000-0206e000 r--p 00e70000 fe:00 9979571                            /opt/way post/waypost": {0x1270000, 0xdfe000},
		"0206e000-02126000 rw-p 01c6e000 fe:00 9979571                            /opt/way post/waypost": {},
		"0206e000-02126000 rwxp 01c6e000 fe:00 9979571                            /opt/way post/waypost": {},
		"01270000-0206e000 r--s 00e70000 fe:00 9979571                            /opt/way post/waypost": {},
		"01270000-0206e000 r--p 00e70000 fe:00 9979571                            /usr/lib/libc.so.6":    {},
		"01270000-0206e000 r--p 00000000 00:00 0 ":                                                       {},
		"0206e000-01270000 r--p 00e70000 fe:00 9979571 /opt/way post/waypost":                            {},
		"0206e000-x r--p 00e70000 fe:00 9979571 /opt/way post/waypost":                                   {},
		"x-0206e000 r--p 00e70000 fe:00 9979571 /opt/way post/waypost":                                   {},
		"":                        {},
		"VmFlags: rd mr mw me sd": {},
	} {
		if got := parseRegion(line, program); got != want {
			t.Errorf("%q is read as %x, want %x", line, got, want)
		}
	}
}
