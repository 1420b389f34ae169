//! The screen of `toolbay top`: drawn anew with each look and each key.

use std::{
    io,
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::Stylize as _,
    text::Line,
    widgets::{Block, Paragraph, Row, Sparkline, Table},
};

use super::{
    figures::{Figures, Next, Provider, Sort},
    table,
};

/// How soon a key is seen, and new figures are.
const BEAT: Duration = Duration::from_millis(100);

/// Rows of plugins and servers at most: what is busy or ill comes first.
const PROVIDERS: u16 = 8;

/// Looks that the curve shows.
const HISTORY: usize = 200;

/// What is on the screen.
struct Screen {
    url: String,
    figures: Figures,
    /// Why there is nothing newer.
    problem: Option<String>,
    /// Calls a second, the newest first.
    history: Vec<u64>,
    sort: Sort,
    reversed: bool,
    /// Tools above the first that is shown.
    skipped: usize,
}

/// Draws until a key ends it.
///
/// # Errors
///
/// What the terminal says.
pub(super) fn run(url: &str, sort: Sort, figures: &Receiver<Next>) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let done = Screen::new(url, sort).run(&mut terminal, figures);
    // Whatever happened, the terminal is as it was.
    ratatui::try_restore().and(done)
}

impl Screen {
    fn new(url: &str, sort: Sort) -> Self {
        Self { url: url.to_owned(), figures: Figures::default(), problem: None, history: Vec::new(), sort, reversed: false, skipped: 0 }
    }

    fn run(&mut self, terminal: &mut DefaultTerminal, figures: &Receiver<Next>) -> io::Result<()> {
        loop {
            match figures.try_recv() {
                Ok(next) => self.take(next),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.problem = Some("nobody looks any more".to_owned()),
            }
            terminal.draw(|frame| self.draw(frame))?;
            if event::poll(BEAT)?
                && let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                let interrupts = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupts || !self.press(key.code) {
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, next: Next) {
        match next {
            Ok(figures) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate, of which the curve shows whole numbers"
                )]
                self.history.insert(0, figures.calls.rate.round() as u64);
                self.history.truncate(HISTORY);
                (self.figures, self.problem) = (figures, None);
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// What a key does. False: it ends all.
    fn press(&mut self, key: KeyCode) -> bool {
        let most = self.figures.tools.len().saturating_sub(1);
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('c') => self.sort = Sort::Calls,
            KeyCode::Char('5') => self.sort = Sort::P50,
            KeyCode::Char('9') => self.sort = Sort::P99,
            KeyCode::Char('e') => self.sort = Sort::Errors,
            KeyCode::Char('n') => self.sort = Sort::Name,
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Down | KeyCode::Char('j') => self.skipped = (self.skipped + 1).min(most),
            KeyCode::Up | KeyCode::Char('k') => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped = (self.skipped + 20).min(most),
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(20),
            KeyCode::Home => self.skipped = 0,
            _ => {}
        }
        true
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let providers = self.providers();
        let below = u16::try_from(providers.len()).unwrap_or(PROVIDERS).min(PROVIDERS) + 2;
        let parts = [Constraint::Length(3), Constraint::Length(3), Constraint::Min(3), Constraint::Length(below), Constraint::Length(1)];
        let [head, curve, tools, rest, foot] = Layout::vertical(parts).areas(frame.area());
        let [first, second] = table::summary(&self.figures);
        let state = match &self.problem {
            Some(problem) => Line::from(problem.clone()).red(),
            None => Line::from(self.url.clone()).dim(),
        };
        frame.render_widget(Paragraph::new(vec![state, Line::from(first).bold(), Line::from(second)]), head);
        frame.render_widget(Sparkline::default().data(&self.history).cyan(), curve);
        frame.render_widget(self.tools(tools.width), tools);
        let columns = Columns::fitting(rest.width, &[(12, 2), (12, 0), (9, 0), (8, 0), (9, 0), (9, 0)], &[5, 4, 3, 2]);
        let rows = providers.into_iter().map(|provider| {
            let row = Row::new(columns.of(table::provider(provider)));
            if provider.state == "serving" { row } else { row.yellow() }
        });
        let title = Block::new().title("plugins and servers".dim());
        let heads = Row::new(columns.of(table::PROVIDERS)).dim();
        frame.render_widget(Table::new(rows, columns.widths()).header(heads).block(title), rest);
        frame.render_widget(Line::from("c calls  5 p50  9 p99  e errors  n name  r reverse  arrows scroll  q quit").dim(), foot);
    }

    fn tools(&self, width: u16) -> Table<'_> {
        let heads = table::TOOLS.map(|head| {
            let by = match self.sort {
                Sort::Calls => "calls/s",
                Sort::P50 => "p50",
                Sort::P99 => "p99",
                Sort::Errors => "errors/s",
                Sort::Name => "tool",
            };
            if head == by { Line::from(head).bold().underlined() } else { Line::from(head).dim() }
        });
        let columns = Columns::fitting(width, &[(10, 1), (14, 2), (9, 0), (10, 0), (10, 0), (9, 0), (11, 0)], &[6, 4, 0, 5, 3]);
        let rows = self.figures.sorted(self.sort, self.reversed).into_iter().skip(self.skipped).map(|tool| {
            let row = Row::new(columns.of(table::tool(tool)));
            if tool.calls.errors > 0.0 { row.red() } else { row }
        });
        Table::new(rows, columns.widths()).header(Row::new(columns.of(heads)))
    }

    /// Plugins and servers, those that are ill or busy first.
    fn providers(&self) -> Vec<&Provider> {
        let mut providers: Vec<_> = self.figures.providers.iter().collect();
        providers.sort_by(|a, b| {
            let key = |one: &Provider| (one.state == "serving", -one.queued, -one.in_flight);
            let ((x, q, f), (y, r, g)) = (key(a), key(b));
            x.cmp(&y).then(q.total_cmp(&r)).then(f.total_cmp(&g)).then_with(|| a.name.cmp(&b.name))
        });
        providers.truncate(usize::from(PROVIDERS));
        providers
    }
}

/// The columns of a table that have room.
struct Columns(Vec<(usize, Constraint)>);

impl Columns {
    /// `all`: the room that each needs, and its share of what is left, where it takes one; `drop`: which go where there is too little, the first one first.
    fn fitting(width: u16, all: &[(u16, u16)], drop: &[usize]) -> Self {
        let mut places: Vec<usize> = (0..all.len()).collect();
        // A space stands between two.
        let needed = |places: &[usize]| places.iter().filter_map(|place| all.get(*place)).map(|(room, _)| room + 1).sum::<u16>();
        for dropped in drop {
            if needed(&places) <= width + 1 {
                break;
            }
            places.retain(|place| place != dropped);
        }
        let constraint = |(room, share): (u16, u16)| if share > 0 { Constraint::Fill(share) } else { Constraint::Length(room) };
        Self(places.into_iter().filter_map(|place| Some((place, constraint(*all.get(place)?)))).collect())
    }

    fn of<T, const N: usize>(&self, cells: [T; N]) -> Vec<T> {
        let has = |place: &usize| self.0.iter().any(|(kept, _)| kept == place);
        cells.into_iter().enumerate().filter(|(place, _)| has(place)).map(|(_, cell)| cell).collect()
    }

    fn widths(&self) -> Vec<Constraint> {
        self.0.iter().map(|(_, constraint)| *constraint).collect()
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::cli::top::figures::{Calls, Tool};

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_shows_sorts_scrolls_and_fits_any_terminal() {
        let tool = |name: &str, rate| Tool {
            provider: "calc".to_owned(),
            name: name.to_owned(),
            calls: Calls { rate, total: 7.0, ..Calls::default() },
        };
        let provider = |name: &str, state: &str| Provider { name: name.to_owned(), state: state.to_owned(), ..Provider::default() };
        let mut screen = Screen::new("http://a.example", Sort::Calls);
        screen.take(Ok(Figures {
            tools: vec![tool("add", 1.0), tool("divide", 2.0)],
            providers: vec![provider("calc", "serving"), provider("gone", "failed")],
            ..Figures::default()
        }));
        let places = |shown: &str, words: [&str; 2]| words.map(|word| shown.find(word));
        let shown = drawn(&screen, 100, 30);
        let [divide, add] = places(&shown, ["divide", "add"]);
        assert!(divide < add && divide.is_some() && shown.contains("http://a.example"), "{shown}");
        let [gone, calc] = places(shown.split_once("plugins and servers").unwrap().1, ["gone", "calc"]);
        assert!(gone < calc, "what is ill comes first: {shown}");
        assert!(screen.press(KeyCode::Char('n')) && screen.press(KeyCode::Down));
        let shown = drawn(&screen, 100, 30);
        assert!(shown.contains("divide") && !shown.contains(" add "), "{shown}");
        screen.take(Err("it answers 503".to_owned()));
        assert!(drawn(&screen, 100, 30).contains("it answers 503"));
        for (width, height) in [(1, 1), (20, 5), (300, 3)] {
            drawn(&screen, width, height);
        }
        // Names are what a narrow one has room for first, then how often they are called.
        for width in [24, 40, 60, 80] {
            let shown = drawn(&screen, width, 20);
            assert!(["divide", "calls/s", "gone", "failed"].iter().all(|word| shown.contains(word)), "{width}: {shown}");
            assert_eq!((shown.contains("total"), shown.contains("restarts")), (width >= 80, width >= 80), "{width}: {shown}");
        }
        assert!(!screen.press(KeyCode::Char('q')) && !screen.press(KeyCode::Esc));
    }
}
