// Reads a JSON object of queries by name, prints a JSON array of what is wrong with them, one sentence each.
// The first argument is the folder that holds node_modules. Columns are those of tables.json.
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const library = path.join(process.argv[2], "node_modules", "@kusto", "language-service-next");
for (const name of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  vm.runInThisContext(fs.readFileSync(path.join(library, name), "utf8"), { filename: name });
}
const { KustoCode, GlobalState, Symbols } = globalThis.Kusto.Language;

const tables = Object.entries(JSON.parse(fs.readFileSync(path.join(__dirname, "tables.json"), "utf8"))).map(
  ([name, columns]) => {
    const listed = Object.entries(columns).map(([column, type]) => `${column}: ${type}`);
    return Symbols.TableSymbol.From(`(${listed.join(", ")})`).WithName(name);
  },
);
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1("workspace", tables));

const problems = [];
for (const [name, query] of Object.entries(JSON.parse(fs.readFileSync(0, "utf8")))) {
  const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
  for (let i = 0; i < found.Count; i++) {
    const said = found.getItem(i);
    problems.push(`${name}: ${said.Message} At: ${query.substr(said.Start, 40)}`);
  }
}
process.stdout.write(JSON.stringify(problems) + "\n");
