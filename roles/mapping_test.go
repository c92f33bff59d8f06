package roles_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/roles"
)

// mapper returns the mapper of a mapping that must be valid.
func mapper(t testing.TB, m roles.Mapping) *roles.Mapper {
	t.Helper()
	mapper, err := roles.New(m)
	require.NoError(t, err)
	return mapper
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		mapping  roles.Mapping
		problems []roles.Problem
	}{
		{
			"C2/rule without group",
			roles.Mapping{Rules: []roles.Rule{{Role: "admin"}}},
			[]roles.Problem{{1, "name a group by groupId, externalId or groupName"}},
		},
		{
			"C2/rule with two selectors",
			roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", GroupName: "Staff", Role: "admin"}}},
			[]roles.Problem{{1, "name the group by one of groupId, externalId and groupName, not by several"}},
		},
		{
			"C2/rule with three selectors",
			roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", ExternalID: "x1", GroupName: "Staff", Role: "admin"}}},
			[]roles.Problem{{1, "name the group by one of groupId, externalId and groupName, not by several"}},
		},
		{
			"C1/duplicate id",
			roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "admin"}, {GroupID: "g1", Role: "viewer"}}},
			[]roles.Problem{{2, `the group with the id "g1" is mapped by rule 1 already`}},
		},
		{
			"C1/duplicate externalId",
			roles.Mapping{Rules: []roles.Rule{{ExternalID: "x1", Role: "admin"}, {ExternalID: "x1", Role: "viewer"}}},
			[]roles.Problem{{2, `the group with the externalId "x1" is mapped by rule 1 already`}},
		},
		{
			"C1/duplicate name in another case",
			roles.Mapping{Rules: []roles.Rule{{GroupName: "Straße", Role: "admin"}, {GroupID: "g", Role: "editor"}, {GroupName: "STRAẞE", Role: "viewer"}}},
			[]roles.Problem{{3, `the group with the name "STRAẞE" is mapped by rule 1 already`}},
		},
		{
			"C1/Union, duplicate selector and role",
			roles.Mapping{Precedence: roles.Union, Rules: []roles.Rule{{GroupID: "g1", Role: "a"}, {GroupID: "g1", Role: "b"}, {GroupID: "g1", Role: "a"}}},
			[]roles.Problem{{3, `the group with the id "g1" is mapped by rule 1 already`}},
		},
		{
			"C9/rule without role",
			roles.Mapping{Rules: []roles.Rule{{GroupID: "g1"}}},
			[]roles.Problem{{1, "role is empty"}},
		},
		{
			"C9/unknown role",
			roles.Mapping{Roles: []string{"admin", "viewer"}, Rules: []roles.Rule{{GroupID: "g1", Role: "Admin"}}},
			[]roles.Problem{{1, `role "Admin" is not one of the application's roles: "admin", "viewer"`}},
		},
		{
			"C9/unknown default",
			roles.Mapping{Roles: []string{"admin"}, Default: "viewer"},
			[]roles.Problem{{0, `default role "viewer" is not one of the application's roles: "admin"`}},
		},
		{
			"C9/empty role in the catalogue",
			roles.Mapping{Roles: []string{"admin", ""}},
			[]roles.Problem{{0, "one of the application's roles is empty"}},
		},
		{
			"B7/rule for a protected role",
			roles.Mapping{Protected: []string{"owner"}, Roles: []string{"owner"}, Rules: []roles.Rule{{GroupName: "Founders", Role: "owner"}}},
			[]roles.Problem{{1, `role "owner" is protected: it is given by hand, never by provisioning`}},
		},
		{
			"C6/protected default",
			roles.Mapping{Protected: []string{"owner"}, Default: "owner"},
			[]roles.Problem{{0, `default role "owner" is protected: it is given by hand, never by provisioning`}},
		},
		{
			"C1/unknown precedence",
			roles.Mapping{Precedence: 7},
			[]roles.Problem{{0, "precedence 7 is unknown"}},
		},
		{
			"all problems at once",
			roles.Mapping{Protected: []string{"owner"}, Default: "owner", Rules: []roles.Rule{{Role: "a"}, {GroupID: "g"}}},
			[]roles.Problem{
				{1, "name a group by groupId, externalId or groupName"},
				{2, "role is empty"},
				{0, `default role "owner" is protected: it is given by hand, never by provisioning`},
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := roles.New(c.mapping)
			assert.Nil(t, m)
			var invalid *roles.InvalidError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, c.problems, invalid.Problems)
		})
	}
}

func TestNewAccepts(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]roles.Mapping{
		"nothing at all":                        {},
		"C6/a default alone":                    {Default: "viewer"},
		"C1/Union, one group with two roles":    {Precedence: roles.Union, Rules: []roles.Rule{{GroupID: "g", Role: "a"}, {GroupID: "g", Role: "b"}}},
		"C2/one value in selectors of all kind": {Rules: []roles.Rule{{GroupID: "g", Role: "a"}, {ExternalID: "g", Role: "b"}, {GroupName: "g", Role: "c"}}},
		"C2/externalIds that differ in case":    {Rules: []roles.Rule{{ExternalID: "g", Role: "a"}, {ExternalID: "G", Role: "b"}}},
		"C9/roles of the catalogue":             {Roles: []string{"a", "b"}, Default: "b", Rules: []roles.Rule{{GroupID: "g", Role: "a"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := roles.New(m)
			assert.NoError(t, err)
		})
	}
}

func TestInvalidErrorIsOneLine(t *testing.T) {
	t.Parallel()
	_, err := roles.New(roles.Mapping{Default: "x", Protected: []string{"x"}, Rules: []roles.Rule{{GroupID: "g"}}})
	assert.EqualError(t, err, `roles: mapping: rule 1: role is empty; `+
		`default role "x" is protected: it is given by hand, never by provisioning`)
}

// What the mapper was made of cannot be changed behind its back: it would no
// longer be what was validated.
func TestMapperKeepsItsMapping(t *testing.T) {
	t.Parallel()
	given := roles.Mapping{
		Rules:     []roles.Rule{{GroupID: "g", Role: "editor"}},
		Default:   "viewer",
		Protected: []string{"owner"},
		Roles:     []string{"editor", "owner", "viewer"},
	}
	m := mapper(t, given)
	given.Rules[0].Role, given.Protected[0] = "owner", "nothing"
	m.Mapping().Rules[0].Role = "owner"

	assert.Equal(t, roles.Mapping{
		Rules:     []roles.Rule{{GroupID: "g", Role: "editor"}},
		Default:   "viewer",
		Protected: []string{"owner"},
		Roles:     []string{"editor", "owner", "viewer"},
	}, m.Mapping())
	assert.Equal(t, roles.Mapping{}, (*roles.Mapper)(nil).Mapping())
}

func TestSelector(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "id:G1", roles.Rule{GroupID: "G1"}.Selector())
	assert.Equal(t, "externalId:X1", roles.Rule{ExternalID: "X1"}.Selector())
	assert.Equal(t, "name:engineers: emea", roles.Rule{GroupName: "Engineers: EMEA"}.Selector())
	assert.Equal(t, "", roles.Rule{Role: "admin"}.Selector())
}

func TestDocument(t *testing.T) {
	t.Parallel()
	m := roles.Mapping{
		Rules: []roles.Rule{
			{GroupID: "g1", Role: "admin"},
			{ExternalID: "x1", Role: "editor"},
			{GroupName: "Engineers", Role: "editor"},
		},
		Precedence: roles.Union,
		Default:    "viewer",
		Protected:  []string{"owner"},
		Roles:      []string{"admin", "editor", "owner", "viewer"},
	}
	document, err := json.Marshal(m)
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"rules": [
			{"groupId": "g1", "role": "admin"},
			{"externalId": "x1", "role": "editor"},
			{"groupName": "Engineers", "role": "editor"}
		],
		"precedence": "union",
		"default": "viewer",
		"protected": ["owner"],
		"roles": ["admin", "editor", "owner", "viewer"]
	}`, string(document))

	again, err := roles.Parse(document)
	require.NoError(t, err)
	assert.Equal(t, m, again)

	document, err = json.Marshal(roles.Mapping{})
	require.NoError(t, err)
	assert.Equal(t, `{"precedence":"priority"}`, string(document))
	again, err = roles.Parse([]byte(`{}`))
	require.NoError(t, err)
	assert.Equal(t, roles.Mapping{}, again)
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for document, says := range map[string]string{
		``:                          "EOF",
		`{"defualt": "viewer"}`:     `unknown field "defualt"`,
		`{"rules": [{"group": 1}]}`: `unknown field "group"`,
		`{"precedence": "highest"}`: `precedence "highest" is neither "priority" nor "union"`,
		`{"rules": {}}`:             "cannot unmarshal",
		`{} {}`:                     "more follows after the document",
		`{} ]`:                      "more follows after the document",
	} {
		m, err := roles.Parse([]byte(document))
		assert.ErrorContains(t, err, says, document)
		assert.Equal(t, roles.Mapping{}, m, document)
	}
}

func TestPrecedenceText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "priority", roles.Priority.String())
	assert.Equal(t, "union", roles.Union.String())
	assert.Equal(t, "precedence 9", roles.Precedence(9).String())
	_, err := roles.Precedence(9).MarshalText()
	assert.EqualError(t, err, "roles: precedence 9 is unknown")
}
