//! Tables that people read.

/// A table that is printed when it is whole.
pub(crate) struct Table {
    header: Vec<String>,
    /// Columns of text; all others are numbers, which stand at the right.
    texts: Vec<usize>,
    /// An empty row is a line.
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str], texts: &[usize]) -> Self {
        Self { header: header.iter().map(ToString::to_string).collect(), texts: texts.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn line(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(crate) fn print(&self, title: &str, note: &str) {
        println!("\n{title} ({note})\n");
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).chain(self.header.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let line: String = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ");
        let mut text = format!("{}\n{line}\n", self.cells(&self.header, &widths));
        for (index, row) in self.rows.iter().enumerate() {
            if !row.is_empty() {
                text += &self.cells(row, &widths);
            } else if index + 1 < self.rows.len() {
                text += &line;
            } else {
                continue;
            }
            text.push('\n');
        }
        text
    }

    fn cells(&self, cells: &[String], widths: &[usize]) -> String {
        let cells = cells.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
            if self.texts.contains(&column) { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// A number with so many decimals, and its thousands set apart.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(number(1234567.891, 1), "1,234,567.9");
        assert_eq!(number(999.4, 0), "999");
    }

    #[test]
    fn numbers_stand_at_the_right() {
        let mut table = Table::new(&["name", "µs"], &[0]);
        table.row(["a".to_owned(), "12.5".to_owned()]);
        table.line();
        table.row(["longer".to_owned(), "1".to_owned()]);
        table.line();
        assert_eq!(table.text(), "name      µs\n------  ----\na       12.5\n------  ----\nlonger     1\n");
    }
}
