package app

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// forgetProgram unmaps the pages of the program's own file. The start touches nearly all of them, tables and initializers included, and
// they count as resident from then on. They stay in the kernel's cache as long as it has room, and whatever is used comes back by
// itself, 64 KiB at a time, at about a microsecond. Nothing is lost: only what is read from the file and was never written is
// unmapped (a debugger's breakpoints, relocated tables are not).
func forgetProgram() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	var of region
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch {
		case !strings.HasSuffix(name, ":"):
			of = parseRegion(lines.Text(), program)
		case name == "Anonymous:" && strings.TrimSpace(value) == "0 kB" && of.size > 0:
			// An error means that the kernel keeps them, for example because memory is locked.
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, of.start, of.size, syscall.MADV_DONTNEED)
		}
	}
}

// region is a part of the address space.
type region struct{ start, size uintptr }

// parseRegion reads the line that begins a region in /proc/self/smaps. Its size is 0 unless it is of the program, private and
// not to be written.
func parseRegion(line, program string) region {
	// 00400000-01270000 r-xp 00000000 fe:00 9979571                            /usr/bin/waypost
	fields := strings.SplitN(line, " ", 6)
	if len(fields) < 6 || strings.TrimLeft(fields[5], " ") != program || (fields[1] != "r-xp" && fields[1] != "r--p") {
		return region{}
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, err := strconv.ParseUint(from, 16, strconv.IntSize)
	if err != nil {
		return region{}
	}
	end, err := strconv.ParseUint(to, 16, strconv.IntSize)
	if err != nil || end < start {
		return region{}
	}
	return region{uintptr(start), uintptr(end - start)}
}
