package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/stdlib"
)

// A fill writes very many users straight into the tables of a store. It does not know
// what the store writes: two users and three groups are sent to the handler, for a
// tenant of their own, and the rows that these have come to are the patterns, in which
// ids, numbers and names are replaced. What is pruned anyway is left out: events, outbox
// and request log.
type fill struct {
	d       *database
	prefix  string // of the tables
	tenants []int  // how many users each has
	number  int    // of the first user
}

// What stands in the patterns for what is to be put there. Users are in Everyone; the
// first hundred of a tenant are in Hundred too, the others in crews of a hundred.
const (
	patternTenant = "pattern-tenant"
	patternFirst  = "9990001" // number of a user in Hundred
	patternOther  = "9990002" // of one in a crew
	patternCrew   = "9990003" // of the crew
)

func crewName(number string) string { return "Crew " + number }

func sevenDigits(n int) string { return fmt.Sprintf("%07d", n) }

// scaleUser is the document of user n: that of the other calls, with its number in every
// name.
func scaleUser(number string) []byte {
	i, err := strconv.Atoi(patternFirst)
	if err != nil {
		panic(err) // a constant
	}
	given := []byte(givenName(i))
	doc := appendUser(nil, i, titleFirst)
	for _, around := range [][2]string{{`"`, `"`}, {`"`, ` `}} {
		doc = bytes.ReplaceAll(doc, []byte(around[0]+string(given)+around[1]), []byte(around[0]+"G"+patternFirst+around[1]))
	}
	return bytes.ReplaceAll(doc, []byte(patternFirst), []byte(number))
}

// scaleID is an id as the library makes them, which grow with time: kind keeps users
// and groups apart.
func scaleID(kind, n int) string {
	random := mix(n + kind<<40)
	return fmt.Sprintf("019a%04x-%04x-7%03x-8%03x-%012x", n>>16&0xffff, n&0xffff, kind, random>>52&0xfff, random&0xffffffffffff)
}

const (
	userKind = iota
	everyoneKind
	hundredKind
	crewKind
)

func tenantName(t int) string { return fmt.Sprintf("tenant-%04d", t) }

// A mark is a place in a pattern.
type mark byte

const (
	literal mark = iota
	markTenant
	markUser
	markNumber
	markEveryone
	markHundred
	markCrew
	markCrewNumber
	markOrdinal   // of the user in its tenant, from 1
	markUsers     // how many the tenant has
	markResources // how many groups it has
)

type segment struct {
	mark mark
	text string
}

// A pattern is a row that is written again and again, in PostgreSQL's text format.
type pattern []segment

// A patternTable is a table and its patterns, by how often they are repeated.
type patternTable struct {
	name, columns                    string
	perTenant, perCrew, first, other []pattern
}

// place is what is put in the places of a pattern.
type place struct {
	tenant, user, number                string
	everyone, hundred, crew, crewNumber string
	ordinal, users, groups              int
}

func (p pattern) write(w *bufio.Writer, at *place) {
	for _, s := range p {
		switch s.mark {
		case literal:
			_, _ = w.WriteString(s.text) // a bufio.Writer keeps its error
		case markTenant:
			_, _ = w.WriteString(at.tenant)
		case markUser:
			_, _ = w.WriteString(at.user)
		case markNumber:
			_, _ = w.WriteString(at.number)
		case markEveryone:
			_, _ = w.WriteString(at.everyone)
		case markHundred:
			_, _ = w.WriteString(at.hundred)
		case markCrew:
			_, _ = w.WriteString(at.crew)
		case markCrewNumber:
			_, _ = w.WriteString(at.crewNumber)
		case markOrdinal:
			_, _ = w.WriteString(strconv.Itoa(at.ordinal))
		case markUsers:
			_, _ = w.WriteString(strconv.Itoa(at.users))
		case markResources:
			_, _ = w.WriteString(strconv.Itoa(at.groups))
		}
	}
	_ = w.WriteByte('\n')
}

// newPattern cuts a row at what is to be replaced.
func newPattern(row string, marks map[string]mark) pattern {
	var p pattern
	for row != "" {
		at, found := len(row), ""
		for text := range marks {
			if i := strings.Index(row, text); i >= 0 && i < at {
				at, found = i, text
			}
		}
		if at > 0 {
			p = append(p, segment{text: row[:at]})
		}
		if found != "" {
			p = append(p, segment{mark: marks[found]})
		}
		row = row[at+len(found):]
	}
	return p
}

// patterns has the handler write the rows, reads them and removes them.
func (f *fill) patterns(ctx context.Context, c *client) ([]*patternTable, error) {
	post := func(path string, body []byte) (string, error) {
		m := c.message(http.MethodPost, path, "", body)
		return c.create(&m)
	}
	first, err1 := post("/Users", scaleUser(patternFirst))
	other, err2 := post("/Users", scaleUser(patternOther))
	everyone, err3 := post("/Groups", groupBody(everyoneName, []string{first, other}))
	hundred, err4 := post("/Groups", groupBody(hundredName, []string{first}))
	crew, err5 := post("/Groups", groupBody(crewName(patternCrew), []string{other}))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	marks := map[string]mark{
		patternTenant: markTenant, first: markUser, other: markUser, patternFirst: markNumber, patternOther: markNumber,
		everyone: markEveryone, hundred: markHundred, crew: markCrew, patternCrew: markCrewNumber,
		"{ordinal}": markOrdinal, "{users}": markUsers, "{groups}": markResources,
	}
	names, err := f.tables(ctx)
	if err != nil {
		return nil, err
	}
	var tables []*patternTable
	for _, name := range names {
		var text bytes.Buffer
		if err := f.copy(ctx, func(ctx context.Context, conn *stdlib.Conn) error {
			_, err := conn.Conn().PgConn().CopyTo(ctx, &text, `COPY (SELECT * FROM `+name+` WHERE tenant = '`+patternTenant+`') TO STDOUT WITH (FORMAT text, HEADER)`)
			return err
		}); err != nil {
			return nil, err
		}
		if _, err := f.d.db.ExecContext(ctx, `DELETE FROM `+name+` WHERE tenant = '`+patternTenant+`'`); err != nil {
			return nil, err
		}
		header, rows, _ := strings.Cut(strings.TrimSuffix(text.String(), "\n"), "\n")
		table := &patternTable{name: name, columns: strings.ReplaceAll(header, "\t", ", ")}
		for row := range strings.SplitSeq(rows, "\n") {
			if row == "" {
				continue
			}
			f.generalise(strings.TrimPrefix(name, f.prefix), strings.Split(header, "\t"), &row)
			p := newPattern(row, marks)
			switch {
			case strings.Contains(row, first):
				table.first = append(table.first, p)
			case strings.Contains(row, other):
				table.other = append(table.other, p)
			case strings.Contains(row, crew):
				table.perCrew = append(table.perCrew, p)
			default:
				table.perTenant = append(table.perTenant, p)
			}
		}
		tables = append(tables, table)
	}
	return tables, nil
}

// generalise puts what is counted in the places of what the pattern has counted.
func (f *fill) generalise(table string, columns []string, row *string) {
	fields := strings.Split(*row, "\t")
	set := func(column, text string) {
		if i := slices.Index(columns, column); i >= 0 {
			fields[i] = text
		}
	}
	switch table {
	case "accounts":
		set("change", "{ordinal}")
	case "tenants":
		set("change", "{users}")
	case "counts":
		if slices.Contains(fields, "User") {
			set("resources", "{users}")
		} else {
			set("resources", "{groups}")
		}
	}
	*row = strings.Join(fields, "\t")
}

// tables returns the store's tables that are filled.
func (f *fill) tables(ctx context.Context) (names []string, err error) {
	rows, err := f.d.db.QueryContext(ctx, `SELECT tablename FROM pg_tables WHERE starts_with(tablename, $1::text) ORDER BY tablename`, f.prefix)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		switch strings.TrimPrefix(name, f.prefix) {
		case "schema_version", "events", "outbox", "requests":
		default:
			names = append(names, name)
		}
	}
	return names, rows.Err()
}

// copy hands out a connection of the driver, whose COPY database/sql does not know.
func (f *fill) copy(ctx context.Context, fn func(context.Context, *stdlib.Conn) error) error {
	conn, err := f.d.db.Conn(ctx)
	if err != nil {
		return err
	}
	return errors.Join(conn.Raw(func(driver any) error { return fn(ctx, driver.(*stdlib.Conn)) }), conn.Close())
}

// run fills the tables. The client is of the tenant patternTenant.
func (f *fill) run(ctx context.Context, c *client) error {
	tables, err := f.patterns(ctx, c)
	if err != nil {
		return err
	}
	failures := make([]error, len(tables))
	var wait sync.WaitGroup
	for i, table := range tables {
		wait.Go(func() {
			reader, writer := io.Pipe()
			go func() { _ = writer.CloseWithError(f.rows(writer, table)) }()
			failures[i] = f.copy(ctx, func(ctx context.Context, conn *stdlib.Conn) error {
				_, err := conn.Conn().PgConn().CopyFrom(ctx, reader, `COPY `+table.name+` (`+table.columns+`) FROM STDIN`)
				_ = reader.CloseWithError(io.ErrClosedPipe) // the writer must not wait for a copy that has failed
				return err
			})
		})
	}
	wait.Wait()
	return errors.Join(failures...)
}

// rows writes the rows of a table.
func (f *fill) rows(w io.Writer, table *patternTable) error {
	out := bufio.NewWriterSize(w, 1<<18)
	n := f.number
	for t, users := range f.tenants {
		crews := (max(users-hundredLength, 0) + hundredLength - 1) / hundredLength
		at := place{tenant: tenantName(t), everyone: scaleID(everyoneKind, n), hundred: scaleID(hundredKind, n), users: users, groups: 2 + crews}
		for _, p := range table.perTenant {
			p.write(out, &at)
		}
		for ordinal := range users {
			at.user, at.number, at.ordinal = scaleID(userKind, n), sevenDigits(n), ordinal+1
			patterns := table.first
			if ordinal >= hundredLength {
				patterns = table.other
				if ordinal%hundredLength == 0 {
					at.crew, at.crewNumber = scaleID(crewKind, n), sevenDigits(n)
					for _, p := range table.perCrew {
						p.write(out, &at)
					}
				}
			}
			for _, p := range patterns {
				p.write(out, &at)
			}
			n++
		}
	}
	return out.Flush()
}
